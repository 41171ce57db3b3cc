"""Reads drawings as a browser would, to find out where things are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"
PATH_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle in a drawing."""

    left: float
    """Its left edge."""
    top: float
    """Its upper edge."""
    right: float
    """Its right edge."""
    bottom: float
    """Its lower edge."""

    def overlaps(self, other: Area) -> bool:
        """Say whether two rectangles share room."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def root(text: str) -> ElementTree.Element:
    """Parse a page or a drawing. Raises: ElementTree.ParseError if it is not well-formed."""
    return ElementTree.fromstring(text.partition("<!DOCTYPE html>")[2] or text)


def strips(page: ElementTree.Element) -> list[ElementTree.Element]:
    """Return the drawings of a page, in order, without the legend."""
    return [svg for svg in page.iter(f"{SVG}svg") if svg.find(f".//{SVG}text[@class='name']") is not None]


def having(element: ElementTree.Element, name: str, style: str) -> Iterator[ElementTree.Element]:
    """Yield elements of a name that have a class."""
    for found in element.iter(f"{SVG}{name}"):
        if style in found.get("class", "").split():
            yield found


def area(rect: ElementTree.Element) -> Area:
    """Return where a rectangle is."""
    x, y, width, height = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
    return Area(x, y, x + width, y + height)


def flags(element: ElementTree.Element) -> list[Area]:
    """Return where the captions are."""
    return [area(rect) for rect in having(element, "rect", "flag")]


def poles(element: ElementTree.Element) -> list[Area]:
    """Return where the poles of captions are."""
    found = []
    for path in having(element, "path", "pole"):
        x1, y1, x2, y2 = map(float, PATH_NUMBER.findall(path.get("d", "")))
        found.append(Area(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))
    return found


def titles(element: ElementTree.Element) -> list[str]:
    """Return what tooltips say."""
    return [title.text or "" for title in element.iter(f"{SVG}title")]
