"""Draws a `Trace` as SVG: a pure function, used by the live view and by saved notebooks alike."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from course_app.lab.svg import clipped, duration, mark, text
from course_app.lab.trace import Trace

WIDTH, LEFT, RIGHT = 640, 176, 536
"""The drawing's width, and where its time axis begins and ends, in pixels."""
ROW, BAR = 26, 14
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 300)
"""Seconds between two marks of the axis: the smallest is taken that gives six marks at most."""


@dataclass(frozen=True)
class Palette:
    text: str
    faint: str
    background: str = "none"
    wait: str = "#3f7fd6"
    work: str = "#c77700"
    done: str = "#2f9456"
    failed: str = "#d64545"


LIVE = Palette("var(--jp-ui-font-color1, #222)", "var(--jp-ui-font-color2, #666)")
PAPER = Palette("#1f2328", "#59636e", background="#ffffff")
"""Legible on any page, since a saved picture cannot know the page's theme."""


@dataclass(frozen=True)
class Row:
    label: str
    started: float
    ended: float
    color: str
    note: str
    running: bool = False
    failed: bool = False
    thin: bool = False


def draw(trace: Trace, now: float | None = None, *, details: bool = False) -> str:
    """One request against a time axis in seconds; `now` is in seconds since the epoch.

    With no `now`, the drawing ends with the last thing that the trace knows.
    """
    elapsed = latest(trace) if trace.finished or now is None else max(now - trace.sent_at, 0.0)
    end = elapsed * 1.02 if trace.finished or now is None else room_to_grow(elapsed)
    end = max(end, 0.02)
    rows = list(rows_of(trace, elapsed, LIVE, times=True, details=details))
    flag = f"response {trace.status} after {duration(trace.response or 0)}"
    axis = "".join(tick(moment, end, len(rows), LIVE) for moment in ticks(end))
    return svg(trace, rows, end, flag, axis, LIVE)


def image(trace: Trace) -> str:
    """One request drawn by the order of its events alone, as an HTML image with its words.

    It is the same on every machine, and an untrusted notebook shows it too.
    """
    placed = trace.by_order()
    end = max(latest(placed), 1.0) + (0.0 if trace.finished else 0.6)
    rows = list(rows_of(placed, end, PAPER, times=False, details=False))
    caption = text(LEFT, y_of(len(rows)) + 12, "in order, not to scale", PAPER.faint, size=11)
    picture = svg(placed, rows, end, f"response {trace.status}", caption, PAPER, trace.sentence)
    data = base64.b64encode(picture.encode()).decode()
    return (
        f'<img alt="{escape(str(trace))}. {escape(trace.sentence)}" '
        f'style="max-width: 100%" src="data:image/svg+xml;base64,{data}">'
    )


def rows_of(
    trace: Trace, elapsed: float, colors: Palette, *, times: bool, details: bool
) -> Iterator[Row]:
    """A row for the client's wait, one for each task, and, with details, one for each span."""

    def took(started: float, ended: float) -> str:
        return f" {duration(ended - started)}" if times else ""

    until = trace.response if trace.response is not None else elapsed
    waiting = trace.response is None and trace.failure is None
    note = "waiting" if waiting else "no response" if trace.failure else ""
    yield Row(
        "client waits", 0.0, until, colors.failed if trace.failure else colors.wait,
        note, running=waiting, failed=trace.failure is not None,
    )  # fmt: skip
    for span in trace.details if details else ():
        ended = span.ended if span.ended is not None else elapsed
        color = colors.failed if span.error else colors.faint
        yield Row(
            span.name, span.started, ended, color, span.error or took(span.started, ended).strip(),
            running=span.ended is None, failed=span.error is not None, thin=True,
        )  # fmt: skip
    for task in trace.tasks:
        label = f"{task.name} ({task.where})" if details and task.where else task.name
        if task.ended is None:
            note = f"running {elapsed - task.started:.1f} s" if times else "running"
            yield Row(label, task.started, elapsed, colors.work, note, running=True)
        elif task.error is None:
            note = f"✓ done{took(task.started, task.ended)}"
            yield Row(label, task.started, task.ended, colors.done, note)
        else:
            yield Row(label, task.started, task.ended, colors.failed, task.error, failed=True)
    for name in trace.skipped:
        yield Row(name, elapsed, elapsed, colors.faint, "did not run")


def svg(
    trace: Trace, rows: list[Row], end: float, flag: str, below: str, colors: Palette,
    sentence: str | None = None,
) -> str:  # fmt: skip
    height = y_of(len(rows)) + (22 if sentence is None else 44)
    parts = [
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="{colors.background}"/>',
        text(8, 18, clipped(f"{trace.method} {trace.path}", 70), colors.text, bold=True,
             title=f"{trace.method} {trace.path}"),
        *(bar(row, place, end, colors) for place, row in enumerate(rows)),
        below,
    ]  # fmt: skip
    if trace.response is not None:
        parts.append(flagged(trace.response, end, len(rows), flag, colors))
    if sentence is not None:
        parts.append(text(8, height - 12, clipped(sentence, 92), colors.text, title=sentence))
    words = escape(f"{trace}. {trace.sentence}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="{words}" style="max-width: 100%; height: auto" '
        f'font-family="system-ui, sans-serif">{"".join(parts)}</svg>'
    )


def bar(row: Row, place: int, end: float, colors: Palette) -> str:
    y, thickness = y_of(place), 5 if row.thin else BAR
    left, right = x_of(row.started, end), x_of(row.ended, end)
    top = y + (BAR - thickness) / 2
    look = f"fill: {row.color}"
    if row.running:  # the second way to tell a running bar, besides its colour
        look += f"; fill-opacity: 0.35; stroke: {row.color}; stroke-dasharray: 5 3"
    parts = [text(8, y + 12, clipped(row.label, 24), colors.text, size=12, title=row.label)]
    if row.ended > row.started:
        wide = max(right - left, 2.0)
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{thickness}" '
            f'rx="2" style="{look}"/>'
        )
    note, color = row.note, row.color if row.failed else colors.faint
    if row.failed:
        parts.append(text(right - 4, y + 12, "✕", colors.text, bold=True))
        right += 8
    room = int((WIDTH - right - 12) / 6.2)
    if len(note) <= room:
        parts.append(text(right + 8, y + 12, note, color, size=12))
    else:  # no room beside the bar: over it, on a ground of its own
        shown = clipped(note, 56)
        x = WIDTH - 8 - len(shown) * 6.2
        ground = "var(--jp-layout-color0, #fff)" if colors is LIVE else colors.background
        parts.append(
            f'<rect x="{x - 4:.1f}" y="{y - 2}" width="{WIDTH - x:.1f}" height="18" rx="3" '
            f'style="fill: {ground}; fill-opacity: 0.9"/>'
        )
        parts.append(text(x, y + 12, shown, color, size=12, title=note))
    return "".join(parts)


def flagged(moment: float, end: float, rows: int, label: str, colors: Palette) -> str:
    """The response: a line across all rows, with a flag that carries its status."""
    x, wide = x_of(moment, end), len(label) * 7.3 + 14
    left = x if x + wide < WIDTH - 4 else x - wide
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="26" y2="{y_of(rows) - 2}" stroke="{colors.wait}" '
        f'stroke-width="2"/><rect x="{left:.1f}" y="24" width="{wide:.1f}" height="18" '
        f'fill="{colors.wait}"/>' + text(left + 7, 37, label, "#ffffff", size=12, bold=True)
    )


def tick(moment: float, end: float, rows: int, colors: Palette) -> str:
    x, y = x_of(moment, end), y_of(rows)
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 4}" y2="{y + 1}" '
        f'style="stroke: {colors.faint}"/>'
        + text(x, y + 13, mark(moment, end), colors.faint, size=11, anchor="middle")
    )


def y_of(place: int) -> int:
    return 50 + ROW * place


def x_of(moment: float, end: float) -> float:
    return LEFT + (RIGHT - LEFT) * min(moment / end, 1.0)


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
    return end


def ticks(end: float) -> list[float]:
    """Moments to mark on an axis that ends at `end` seconds: six at most."""
    step = next((step for step in STEPS if end / step <= 5), end)
    return [place * step for place in range(int(end / step) + 1)]
