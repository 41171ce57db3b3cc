"""What happened in a run, as text or as a picture: on the command line, in a page, in a notebook.

    show(scenario)                              # in a notebook: the picture
    print(show(scenario, from_s=10))            # the text, from ten seconds on
    show(17).save(Path("run.html"))             # the run of a seed, in one file that needs nothing else

The same scenario gives the same text and picture, byte for byte.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from core.replica import Replica
from sim.draw import draw
from sim.narrator import tell
from sim.picture.page import html_page
from sim.picture.sheet import svg_file
from sim.run import MakeReplica, Report
from sim.scenario import Scenario
from sim.story import Story
from sim.transcript import transcript

FRAME_HEIGHT = 700
"""Pixels of a notebook's page; the rest is scrolled to."""


class Picture:
    """One run, ready to be looked at."""

    def __init__(self, story: Story, *, from_us: int = 0, until_us: int | None = None) -> None:
        self.story = story
        """What happened."""
        self._from_us, self._until_us = from_us, until_us

    @property
    def text(self) -> str:
        """Return a line per event, a column per host."""
        return transcript(self.story, from_us=self._from_us, until_us=self._until_us)

    @property
    def html(self) -> str:
        """Return a page that needs no other file. Raises: TooManyHosts."""
        return html_page(self.story, from_us=self._from_us, until_us=self._until_us)

    @property
    def svg(self) -> str:
        """Return the drawing alone. Raises: TooManyHosts."""
        return svg_file(self.story, from_us=self._from_us, until_us=self._until_us)

    def save(self, path: Path) -> None:
        """Write text, page or drawing, as the end of the name says. Raises: OSError, TooManyHosts, ValueError."""
        kinds = {".html": "html", ".svg": "svg", ".txt": "text"}
        if path.suffix not in kinds:
            raise ValueError(f"{path}: a picture is written to a file that ends in {', '.join(kinds)}")
        path.write_text(getattr(self, kinds[path.suffix]), encoding="utf-8")

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        """Return what notebooks show. A frame keeps the page's style and that of the notebook apart."""
        page = escape(self.html, quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="{FRAME_HEIGHT}" frameborder="0"></iframe>'


def show(
    source: Scenario | Report | int,
    *,
    profile: str = "all",
    from_s: float = 0.0,
    until_s: float | None = None,
    make: MakeReplica = Replica,
) -> Picture:
    """Play a scenario, what a report tells of, or the run of a seed, and return its picture between two times.

    It is played anew, so a planted bug must still be there.
    """
    if isinstance(source, int):
        story = tell(draw(source, profile), make, profile=profile)
    else:
        story = tell(source.scenario if isinstance(source, Report) else source, make)
    until_us = None if until_s is None else round(until_s * 1_000_000)
    return Picture(story, from_us=round(from_s * 1_000_000), until_us=until_us)
