"""How much room text takes, so that labels can be kept apart without a browser.

The widths are those of Helvetica, which Arial, Liberation Sans and Arimo share; the pictures ask for these fonts, in
this order. Source: Adobe's font metrics (Helvetica.afm), in thousandths of the size.
"""

from __future__ import annotations

FAMILY = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', Arimo, sans-serif"
BOLD = 1.07
"""Bold text is so much wider at most."""
SAFETY = 1.03
"""Rounding of browsers, and fonts that are nearly the same."""
ROUNDING = 0.01
"""Sums of widths are as exact as floating point."""
OTHER = 1000
"""What has no entry is as wide as it is high: nothing that is used here is wider."""

_WIDTHS = {
    222: "ijl",
    191: "'",
    260: "|",
    278: " !,./:;I[\\]ft",
    333: "()-`r",
    334: "{}",
    355: '"',
    389: "*",
    469: "^",
    500: "Jckvsxyz",
    556: "#$0123456789?L_abdeghnopqu–",
    584: "+<=>~×−±",
    611: "FTZ",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    889: "%",
    944: "W",
    1015: "@",
}
WIDTHS = {letter: width for width, letters in _WIDTHS.items() for letter in letters}


def text_width(text: str, size: float, *, is_bold: bool = False) -> float:
    """Return how wide a text is, in the unit of its size."""
    thousandths = sum(WIDTHS.get(letter, OTHER) for letter in text)
    return thousandths * size / 1000 * SAFETY * (BOLD if is_bold else 1)


def fitted(text: str, size: float, width: float) -> str:
    """Return a text, cut short with an ellipsis if it would be wider than that."""
    if text_width(text, size) <= width + ROUNDING:
        return text
    kept = text
    while kept and text_width(kept + "…", size) > width + ROUNDING:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def wrapped(text: str, size: float, width: float) -> tuple[str, ...]:
    """Break a text into lines that are not wider than that, at its spaces."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if line and text_width(longer, size) > width:
            lines.append(line)
            longer = word
        line = longer
    return (*lines, line) if line else tuple(lines)
