"""The few SVG primitives that the drawing is made of. All text is escaped here.

Horizontal places are percentages, so that a drawing is as wide as its page lets it be and its text
keeps its size.
"""

from html import escape


def text(
    x: float, y: float, words: str, color: str, *, size: int = 13, bold: bool = False,
    anchor: str = "start", halo: str | None = None, title: str | None = None,
) -> str:  # fmt: skip
    """Text at `x`, `y` in pixels; `halo` keeps it legible where a line runs through it."""
    weight = ' font-weight="600"' if bold else ""
    around = f"; stroke: {halo}; stroke-width: 4px; paint-order: stroke" if halo else ""
    hint = f"<title>{escape(title)}</title>" if title is not None and title != words else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{weight} '
        f'style="fill: {color}{around}">{hint}{escape(words)}</text>'
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


def clipped(words: str, limit: int) -> str:
    """The words, or as many as fit into `limit` characters and a sign that some are missing."""
    return words if len(words) <= limit else words[: limit - 1] + "…"


def duration(seconds: float) -> str:
    if seconds >= 0.9995:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.00095 else f"{seconds * 1000:.1f} ms"


def mark(moment: float, end: float) -> str:
    """A tick's label: in seconds, or in milliseconds on an axis shorter than half a second."""
    return f"{moment * 1000:.0f} ms" if end < 0.5 else f"{moment:g} s"
