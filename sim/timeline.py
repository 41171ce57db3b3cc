"""What happened in a run, as text or as a picture.

    python -m sim.timeline FILE                 the story of a scenario file, as text
    python -m sim.timeline FILE --html OUT      a picture, in one file that needs nothing else
    python -m sim.timeline FILE --svg OUT       only the drawing, for a page that embeds it
    … --from S --until T                        only what happens between, in virtual seconds

A number in place of FILE tells of the run of that seed. The same scenario gives the same files, byte for byte.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sim.draw import PROFILES, draw
from sim.narrator import tell
from sim.picture.page import html_page
from sim.picture.sheet import TooManyHosts, svg_file
from sim.scenario import ScenarioError, load
from sim.story import Story
from sim.transcript import transcript


def story_of(source: str, profile: str = "all") -> Story:
    """Return the story of a scenario file, or of the run of a seed with a profile. Raises: ScenarioError, OSError."""
    if source.isdecimal():
        return tell(draw(source, profile), profile=profile)
    return tell(load(Path(source).read_text(encoding="utf-8")))


def main(arguments: list[str]) -> int:
    """Tell a story; return 2 if that is not possible."""
    parser = argparse.ArgumentParser(prog="python -m sim.timeline", description="What happened in a run.")
    parser.add_argument("source", metavar="FILE", help="a scenario, or the number of a seed")
    parser.add_argument("--html", metavar="OUT", type=Path, help="write a picture to this file")
    parser.add_argument("--svg", metavar="OUT", type=Path, help="write only the drawing to this file")
    parser.add_argument("--from", dest="begin", metavar="S", type=float, default=0.0, help="virtual seconds")
    parser.add_argument("--until", metavar="T", type=float, help="virtual seconds")
    parser.add_argument("--profile", choices=PROFILES, default="all", help="what the seed draws from")
    options = parser.parse_args(arguments)
    from_us = round(options.begin * 1_000_000)
    until_us = None if options.until is None else round(options.until * 1_000_000)
    try:
        story = story_of(options.source, options.profile)
        if options.html is not None:
            options.html.write_text(html_page(story, from_us=from_us, until_us=until_us), encoding="utf-8")
        if options.svg is not None:
            options.svg.write_text(svg_file(story, from_us=from_us, until_us=until_us), encoding="utf-8")
    except (ScenarioError, TooManyHosts, OSError, UnicodeDecodeError) as error:
        print(f"{options.source}: {error}", file=sys.stderr)
        return 2
    if options.html is None and options.svg is None:
        # Names in a scenario file may hold what no output can, such as half of a surrogate pair.
        text = transcript(story, from_us=from_us, until_us=until_us)
        print(text.encode(errors="replace").decode(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
