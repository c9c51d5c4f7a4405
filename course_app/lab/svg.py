"""The few SVG primitives that the drawing is made of. All text is escaped here.

Horizontal places are percentages, so that a drawing is as wide as its page lets it be and its text
keeps its size.
"""

import unicodedata
from html import escape

from course_app.lab.trace import printable

NARROW = frozenset("fijlrtI.,:;'|!()[]{}/\\-` ")
WIDE = frozenset("mwMW@%#&+=<>~…✕✓")


def text(
    x: float, y: float, words: str, color: str, *, size: int = 13, bold: bool = False,
    anchor: str = "start", halo: str | None = None, title: str | None = None,
) -> str:  # fmt: skip
    """Text at `x`, `y` in pixels; `halo` keeps it legible where a line runs through it.

    `title` is the whole text where `words` are only its beginning.
    """
    weight = ' font-weight="600"' if bold else ""
    around = f"; stroke: {halo}; stroke-width: 4px; paint-order: stroke" if halo else ""
    hint = f"<title>{escape(printable(title))}</title>" if title not in (None, words) else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{weight} '
        f'style="fill: {color}{around}">{hint}{escape(printable(words))}</text>'
    )


def at(percent: float, *parts: str) -> str:
    """Parts whose own x of 0 lies at this percentage of the width."""
    return f'<svg x="{percent:.2f}%" overflow="visible">{"".join(parts)}</svg>'


def bar(left: float, right: float, y: float, height: float, style: str) -> str:
    """A bar between two percentages; one pixel wide at least, by its outline."""
    return (
        f'<rect x="{left:.2f}%" width="{max(right - left, 0):.2f}%" y="{y:g}" height="{height:g}" '
        f'style="{style}"/>'
    )


def fitted(words: str, width: float, size: int) -> str:
    """The words, or as many as fit into `width` pixels and a sign that some are missing.

    Reckons with a wide font, such as DejaVu Sans.
    """
    room = width / size
    if sum(map(ems, words)) <= room:
        return words
    kept, taken = 0, ems("…")
    while (taken := taken + ems(words[kept])) <= room:
        kept += 1
    return words[:kept] + "…"


def ems(character: str) -> float:
    """About how wide the character is, in font sizes."""
    if unicodedata.east_asian_width(character) in "WF":
        return 1.3  # an emoji; a Chinese character takes 1
    if character in WIDE:
        return 1.0
    return 0.42 if character in NARROW else 0.75 if character.isupper() else 0.64


def duration(seconds: float) -> str:
    if seconds >= 0.9995:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.00095 else f"{seconds * 1000:.1f} ms"


def mark(moment: float, end: float) -> str:
    """A tick's label: in seconds, or in milliseconds on an axis shorter than half a second."""
    return f"{moment * 1000:.0f} ms" if end < 0.5 else f"{moment:g} s"
