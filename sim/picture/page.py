"""A drawing as a web page: one file that needs no other, no script and no network."""

from __future__ import annotations

from xml.sax.saxutils import escape

from sim.captions import summary
from sim.picture import svg
from sim.picture.legend import legend
from sim.picture.sheet import GUTTER, STRIPS_MAX, WIDTH, Sheet, drawing, sheet_of, title_of
from sim.picture.style import DRAWING, PAGE
from sim.scenario import dump
from sim.story import Story
from sim.transcript import transcript
from sim.verdict import verdict_of

SIZE_MAX_BYTES = 1_900_000
"""A page that is sent by mail; with fewer strips it gets smaller."""
LINES_MAX = 1_500
"""Of the text below the picture."""
SCENARIO_SIZE_MAX = 150_000
"""Characters of the scenario below the picture; a longer one has its own file."""


def html_page(story: Story, *, from_us: int = 0, until_us: int | None = None) -> str:
    """Return a story as a page, at most `SIZE_MAX_BYTES` long. Raises: TooManyHosts."""
    strips_max = STRIPS_MAX
    page = _page(story, sheet_of(story, from_us=from_us, until_us=until_us))
    while len(page.encode()) > SIZE_MAX_BYTES and strips_max > 1:
        strips_max //= 2
        page = _page(story, sheet_of(story, from_us=from_us, until_us=until_us, strips_max=strips_max))
    return page


def _page(story: Story, sheet: Sheet) -> str:
    scenario, verdict = story.report.scenario, verdict_of(story)
    style = "kept" if verdict.is_kept else "broken"
    said = f"<strong>{escape(verdict.headline)}</strong>"
    said += f"<p>{_clean(verdict.sentence)}</p>" if verdict.sentence else ""
    said += f"<p class='soft'>The promise: {escape(verdict.promise)}.</p>" if verdict.promise else ""
    key, key_height = legend(sheet, GUTTER, WIDTH - 2 * GUTTER)
    figures = "\n".join(
        f"<figure>{drawing(sheet.strip(strip), strip.height, _label(sheet, place))}</figure>"
        for place, strip in enumerate(sheet.strips)
    )
    notes = "".join(f"<p>{_clean(note)}</p>" for note in sheet.notes)
    facts = f"seed {scenario.seed} · {scenario.universe} by {scenario.ring} · proof {story.report.proof}"
    first, last = sheet.strips[0].axis, sheet.strips[-1].axis
    text = transcript(story, from_us=first.begin_us, until_us=last.end_us, lines_max=LINES_MAX)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{_clean(title_of(story))}</title>
<style>{DRAWING}{PAGE}</style>
</head>
<body class="weave">
<main>
<header>
<h1>{_clean(title_of(story))}</h1>
<p class="lead">{_clean(summary(scenario, story.end_us // 1000))}</p>
<section class="card {style}">{said}</section>
</header>
{figures}
<figure class="legend">{drawing(key, key_height, "What the signs mean")}</figure>
<footer>{notes}
<details><summary>The same as text</summary><pre>{_clean(text)}</pre></details>
{_script(story)}
<p>{_clean(facts)}</p>
</footer>
</main>
</body>
</html>
"""


def _script(story: Story) -> str:
    text = dump(story.report.scenario)
    if len(text) > SCENARIO_SIZE_MAX:
        return ""
    return (
        f"<details><summary>The scenario: the same run, to be played again</summary><pre>{_clean(text)}</pre></details>"
    )


def _label(sheet: Sheet, place: int) -> str:
    return f"Part {place + 1} of {len(sheet.strips)}: lanes of {len(sheet.matter.story.names)} hosts over time"


def _clean(text: str) -> str:
    return svg.escaped(text)
