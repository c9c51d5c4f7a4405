"""The few SVG primitives that the drawing is made of. All text is escaped here."""

from html import escape


def text(
    x: float, y: float, words: str, color: str, *, size: int = 13, bold: bool = False,
    anchor: str = "start", title: str | None = None,
) -> str:  # fmt: skip
    weight = ' font-weight="600"' if bold else ""
    hint = f"<title>{escape(title)}</title>" if title is not None and title != words else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{weight} '
        f'style="fill: {color}">{hint}{escape(words)}</text>'
    )


def mark(moment: float, end: float) -> str:
    """A tick's label: in seconds, or in milliseconds on an axis shorter than half a second."""
    return f"{moment * 1000:.0f} ms" if end < 0.5 else f"{moment:g} s"


def duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"


def clipped(words: str, limit: int) -> str:
    return words if len(words) <= limit else words[: limit - 1] + "…"
