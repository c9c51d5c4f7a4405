"""Draws a `Trace` as SVG: a pure function, used by the live view and by saved notebooks alike."""

import base64
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from course_app.lab.svg import at, bar, duration, fitted, mark, text
from course_app.lab.trace import Trace, printable

WIDTH = 640
"""Pixels, at most; on a narrower page the drawing shrinks and its text does not."""
ROOM = WIDTH - 24
"""Pixels that a line of text may take."""
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 300)
"""Seconds between two marks of the axis: the smallest is taken that gives six marks at most."""


@dataclass(frozen=True)
class Palette:
    text: str
    faint: str
    ground: str
    wait: str = "#3478d4"
    work: str = "#c77700"
    done: str = "#2f9456"
    failed: str = "#d64545"


LIVE = Palette(
    text="var(--jp-ui-font-color1, #222)",
    faint="var(--jp-ui-font-color2, #666)",
    ground="var(--jp-layout-color0, #fff)",
)
PAPER = Palette(text="#1f2328", faint="#59636e", ground="#ffffff")
"""Legible on any page, since a saved picture cannot know the page's theme."""


@dataclass(frozen=True)
class Row:
    """A bar and the words above it; `started` and `ended` are in the axis' unit."""

    label: str
    note: str
    started: float
    ended: float
    color: str
    running: bool = False
    failed: bool = False
    height: int = 12


def draw(trace: Trace, now: float | None = None, *, details: bool = False) -> str:
    """One request against a time axis in seconds; `now` is in seconds since the epoch.

    With no `now`, the drawing ends with the last thing that the trace knows.
    """
    done = not trace.running or now is None
    elapsed = latest(trace) if done else max((now or 0) - trace.sent_at, 0.0)
    end = max(elapsed * 1.05 if done else room_to_grow(elapsed), 0.0105)
    rows = list(rows_of(trace, elapsed, LIVE, times=True, details=details))
    bottom = height_of(rows)
    axis = [tick(moment, end, bottom) for moment in ticks(0.96 * end)]  # not cut off at the edge
    flag = f"response {trace.status} after {duration(trace.response or 0)}"
    return svg(words(trace), [*body(trace, rows, end, flag, LIVE), *axis], bottom + 20)


def image(trace: Trace) -> str:
    """One request drawn by the order of its events alone, as an HTML image with its words.

    It is the same on every machine, and an untrusted notebook shows it too.
    """
    placed = trace.by_order()
    end = max(latest(placed), 1.0) * 1.05 + (0.6 if trace.running else 0)
    rows = list(rows_of(placed, 0.95 * end, PAPER, times=False, details=False))
    bottom = height_of(rows)
    lines = textwrap.wrap(trace.sentence, 58)
    height = bottom + 26 + 18 * len(lines)
    heading = printable(f"{trace.method} {trace.path}")
    parts = [
        text(4, 18, fitted(heading, 0.9 * ROOM, 13), PAPER.text, bold=True, title=heading),
        *body(placed, rows, end, f"response {trace.status}", PAPER),
        text(4, bottom + 8, "in order, not to scale", PAPER.faint, size=11),
        *(
            text(4, bottom + 30 + 18 * place, fitted(line, ROOM, 13), PAPER.text)
            for place, line in enumerate(lines)
        ),
    ]
    data = base64.b64encode(svg(words(trace), parts, height, PAPER.ground).encode()).decode()
    return (
        f'<img alt="{words(trace)}" src="data:image/svg+xml;base64,{data}" '
        f'style="width: 100%; max-width: {WIDTH}px; height: {height}px">'
    )


def rows_of(
    trace: Trace, elapsed: float, colors: Palette, *, times: bool, details: bool
) -> Iterator[Row]:
    """A row for the client's wait, one for each task, and, with details, one for each span."""

    def took(started: float, ended: float) -> str:
        return f" in {duration(ended - started)}" if times else ""

    until = trace.response if trace.response is not None else elapsed
    if trace.failure is not None:
        yield Row("client", "✕ no response", 0.0, until, colors.failed, failed=True)
    elif trace.response is None:
        yield Row("client", "waiting for the response", 0.0, until, colors.wait, running=True)
    else:
        yield Row("client", "waited for the response", 0.0, until, colors.wait)
    for span in trace.details if details else ():
        ended = span.ended if span.ended is not None else elapsed
        note = "running" if span.ended is None else took(span.started, ended)[4:]
        note = f"✕ {span.error}" if span.error else note
        color = colors.failed if span.error else colors.faint
        yield Row(span.name, note, span.started, ended, color, span.ended is None, height=5)
    for task in trace.tasks:
        label = f"{task.label} ({task.where})" if details and task.where else task.label
        if task.ended is None:
            note = f"running {elapsed - task.started:.1f} s" if times else "running"
            yield Row(label, note, task.started, elapsed, colors.work, running=True)
        elif task.error is None:
            note = f"✓ done{took(task.started, task.ended)}"
            yield Row(label, note, task.started, task.ended, colors.done)
        else:
            note = f"✕ {task.error}"
            yield Row(label, note, task.started, task.ended, colors.failed, failed=True)
    for name in trace.queued:
        yield Row(name, "waits for a worker", elapsed, elapsed, colors.faint, height=0)
    for name in trace.skipped:
        yield Row(name, "did not run", elapsed, elapsed, colors.faint, height=0)


def body(trace: Trace, rows: list[Row], end: float, flag: str, colors: Palette) -> Iterator[str]:
    """The bars, then the response as a flagged line across them, then all words on top."""
    for row, y in placed(rows):
        if row.height:
            left, right = 100 * row.started / end, 100 * min(row.ended / end, 1.0)
            look = f"fill: {row.color}; stroke: {row.color}"
            if row.running:  # the second way to tell a running bar, besides its color
                look += "; fill-opacity: 0.35; stroke-dasharray: 5 3"
            yield bar(left, right, y + 18, row.height, look)
            if row.failed:
                yield at(right, text(4, y + 28, "✕", row.color, bold=True))
    if trace.response is not None:
        yield flagged(100 * trace.response / end, height_of(rows), flag, colors)
    for row, y in placed(rows):
        full = printable(f"{row.label}: {row.note}")
        size = 13 if row.height > 5 else 12
        label = fitted(full, ROOM, size)
        yield text(4, y + 13, label, colors.text, size=size, halo=colors.ground, title=full)


def flagged(percent: float, bottom: float, label: str, colors: Palette) -> str:
    """The response: a line across all rows, with a flag that carries its status."""
    wide = len(label) * 7.4 + 14
    left = 0.0 if percent < 50 else -wide
    look = f"fill: {colors.wait}"
    return at(
        percent,
        f'<rect x="-1" width="2" y="26" height="{bottom - 26:g}" style="{look}"/>',
        f'<rect x="{left:g}" width="{wide:g}" y="26" height="18" style="{look}"/>',
        text(left + 7, 39, label, "#ffffff", size=12, bold=True),
    )


def tick(moment: float, end: float, bottom: float) -> str:
    line = f'<rect width="1" y="{bottom - 3:g}" height="5" style="fill: {LIVE.faint}"/>'
    anchor = "start" if moment == 0 else "middle"
    label = text(0, bottom + 14, mark(moment, end), LIVE.faint, size=11, anchor=anchor)
    return at(100 * moment / end, line, label)


def svg(said: str, parts: list[str], height: float, ground: str = "none") -> str:
    """The parts as one drawing; `said` is what a screen reader says, escaped."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{height:g}" role="img" '
        f'aria-label="{said}" style="max-width: {WIDTH}px; display: block" '
        f'font-family="system-ui, sans-serif"><rect width="100%" height="100%" rx="6" '
        f'fill="{ground}"/><svg x="8" overflow="visible" aria-hidden="true">'
        f"{''.join(parts)}</svg></svg>"
    )


def words(trace: Trace) -> str:
    """Everything that the picture says, for a screen reader; escaped."""
    return escape(f"{trace}. {trace.sentence}")


def placed(rows: list[Row]) -> Iterator[tuple[Row, float]]:
    """The rows, each with the y of its top in pixels."""
    y = 48.0
    for row in rows:
        yield row, y
        y += 24 + row.height


def height_of(rows: list[Row]) -> float:
    """The y below the last row, in pixels."""
    return 48.0 + sum(24 + row.height for row in rows) + 4


def latest(trace: Trace) -> float:
    """The last moment that the trace knows of, in seconds since the request was sent."""
    moments = [task.ended or task.started for task in trace.tasks]
    moments += [detail.ended or detail.started for detail in trace.details]
    return max([trace.response or 0.0, *moments])


def room_to_grow(elapsed: float) -> float:
    """The axis' end while something runs: it moves in steps, so that the bars are seen to grow."""
    end = 1.0
    while end < elapsed * 1.1:
        end *= 2
    return end * 1.05


def ticks(end: float) -> list[float]:
    """Moments to mark on an axis that ends at `end` seconds: six at most."""
    step = next((step for step in STEPS if end / step <= 5.5), end)
    return [place * step for place in range(int(end / step) + 1)]
