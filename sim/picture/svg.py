"""Elements of SVG as text: escaped, with numbers short enough to be read and equal on every machine."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

TITLE_LINES_MAX = 8
"""Of what a tooltip lists; more does not fit on a screen."""
TITLE_LINE_SIZE_MAX = 140

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML file may hold; names in scenario files may."""

Value = str | float | int


def escaped(content: str) -> str:
    """Return a text that may stand in an element."""
    return escape(NOT_XML.sub("\ufffd", content))


def number(value: float) -> str:
    """Write a coordinate: at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def tag(name: str, content: str = "", /, **attributes: Value) -> str:
    """Return an element. Underscores in names of attributes stand for hyphens; `class_` for `class`."""
    parts = [name]
    for key, value in attributes.items():
        text = value if isinstance(value, str) else number(value)
        parts.append(f"{key.rstrip('_').replace('_', '-')}={quoteattr(text)}")
    head = " ".join(parts)
    return f"<{head}>{content}</{name}>" if content else f"<{head}/>"


def text(content: str, **attributes: Value) -> str:
    """Return a line of text."""
    return tag("text", escaped(content), **attributes)


def titled(content: str, *lines: str, **attributes: Value) -> str:
    """Return a group that shows lines of text when the pointer rests on it."""
    shown = [line if len(line) <= TITLE_LINE_SIZE_MAX else line[: TITLE_LINE_SIZE_MAX - 1] + "…" for line in lines]
    if len(shown) > TITLE_LINES_MAX:
        shown[TITLE_LINES_MAX - 1 :] = [f"… and {len(shown) - TITLE_LINES_MAX + 1} more"]
    return tag("g", tag("title", escaped("\n".join(shown))) + content, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: Value) -> str:
    """Return a straight line."""
    return tag("path", d=f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}", **attributes)


def box(left: float, top: float, width: float, height: float, **attributes: Value) -> str:
    """Return a rectangle."""
    return tag("rect", x=left, y=top, width=width, height=height, **attributes)


def disc(x: float, y: float, radius: float, **attributes: Value) -> str:
    """Return a filled circle."""
    return tag("circle", cx=x, cy=y, r=radius, **attributes)


def cross(x: float, y: float, size: float, **attributes: Value) -> str:
    """Return two crossing strokes."""
    a, b, c, d = (number(value) for value in (x - size, x + size, y - size, y + size))
    return tag("path", d=f"M{a} {c}L{b} {d}M{a} {d}L{b} {c}", **attributes)
