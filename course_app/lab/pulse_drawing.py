"""Draws a `Pulse` as SVG: a pure function, used by the live view and by saved notebooks alike."""

import base64
import math
from collections.abc import Iterator
from dataclasses import replace
from html import escape

from course_app.lab.drawing import LIVE, PAPER, WIDTH, Palette, svg, ticks
from course_app.lab.pulse import INTERVAL, SLOW, Beat, Pulse, Work
from course_app.lab.svg import at, bar, duration, mark, text

SHOWN = 10.0
"""Seconds that fit on the axis; a longer heartbeat shows its last ones."""
SPANS = (2.0, 4.0, 6.0, 8.0, SHOWN)
"""Lengths of the axis while it grows, in seconds."""
ROWS = 4
"""Background tasks shown: the newest."""
TOP, GROUND = 72, 152
"""Where the tallest bar ends, and where every bar stands, in pixels."""
PITCH = 36
"""Pixels from one task's row to the next."""


def draw_pulse(pulse: Pulse) -> str:
    """Each question as a bar as tall as its wait, and the background tasks below."""
    first = max(pulse.now - SHOWN, 0.0)
    span = next((span for span in SPANS if span >= pulse.now - first), SHOWN)
    shown, end = shifted(pulse, first), span * 1.05
    work = list(shown.work[-ROWS:])
    bottom = GROUND + 6 + PITCH * len(work)
    parts = [
        *heading(pulse, LIVE),
        *levels(shown, LIVE),
        *body(shown, work, end, LIVE, times=True),
        *longest(shown, end),
        *(tick(moment, end, bottom, first) for moment in ticks(span)),
    ]
    return svg(escape(f"{pulse}. {pulse.sentence}"), parts, bottom + 20)


def image(pulse: Pulse) -> str:
    """The phases alone, as an HTML image with its words: the same on every machine."""
    placed = pulse.by_order()
    work = list(placed.work[-ROWS:])
    bottom = GROUND + 6 + PITCH * len(work)
    parts = [
        *heading(pulse, PAPER),
        *body(placed, work, max(placed.now, 1.0) * 1.05, PAPER, times=False),
        text(4, bottom + 12, "in order, not to scale", PAPER.faint, size=11),
    ]
    height = bottom + 22
    picture = svg(escape(str(pulse)), parts, height, PAPER.ground)
    data = base64.b64encode(picture.encode()).decode()
    return (
        f'<img alt="{escape(str(pulse))}" src="data:image/svg+xml;base64,{data}" '
        f'style="width: 100%; max-width: {WIDTH}px; height: {height}px">'
    )


def heading(pulse: Pulse, colors: Palette) -> Iterator[str]:
    yield text(4, 18, f"{pulse.question}, ten times a second", colors.text, bold=True)
    yield text(4, 36, "each bar: how long one request waited for its answer", colors.faint, size=12)


def body(
    pulse: Pulse, work: list[Work], end: float, colors: Palette, *, times: bool
) -> Iterator[str]:
    """The questions, the tasks, and each response as a line across both."""
    ceiling = ceiling_of(pulse)
    yield bar(0, 100 / 1.05, GROUND, 0.5, f"fill: {colors.faint}")
    for question in pulse.beats:
        yield beat(question, pulse.now, end, ceiling, colors)
    rows = [(run, GROUND + 8 + PITCH * place) for place, run in enumerate(work)]
    labeled = -math.inf
    for run, y in rows:
        yield task_bar(run, y, pulse.now, end, colors)
        if run.response is not None and run.response >= 0:
            percent = 100 * run.response / end
            label = "response" if percent - labeled > 12 else ""  # one for those close together
            labeled = percent if label else labeled
            yield answered(percent, y + 32, label, colors)
    for run, y in rows:  # on top of the lines
        words = task_words(run, pulse.now, times=times)
        yield text(4, y + 13, words, colors.text, halo=colors.ground)


def beat(question: Beat, now: float, end: float, ceiling: float, colors: Palette) -> str:
    """One question: as tall as its wait, and never so small that it cannot be seen."""
    waited = question.waited(now)
    tall = max((GROUND - TOP) * waited / ceiling, 4.0)
    late = waited > SLOW or question.failure is not None
    look = f"fill: {colors.failed if late else colors.done}"
    if question.answered is None:  # the second way to tell an open question, besides its color
        look = f"fill: {colors.work}; fill-opacity: 0.35; stroke: {colors.work}"
        look += "; stroke-dasharray: 3 2"
    left = 100 * question.due / end
    return bar(left, left + min(60 * INTERVAL / end, 1.1), GROUND - tall, tall, look)


def task_bar(run: Work, y: float, now: float, end: float, colors: Palette) -> str:
    color = colors.failed if run.failed else colors.done
    look = f"fill: {color}; stroke: {color}"
    if run.ended is None:
        look = f"fill: {colors.work}; fill-opacity: 0.35; stroke: {colors.work}"
        look += "; stroke-dasharray: 5 3"
    ended = run.ended if run.ended is not None else now
    return bar(100 * max(run.started, 0.0) / end, 100 * min(ended / end, 1.0), y + 18, 12, look)


def task_words(run: Work, now: float, *, times: bool) -> str:
    where = f" ({run.where})" if run.where else ""
    if run.ended is None:
        return f"{run.name}{where}: running{f' {now - run.started:.1f} s' if times else ''}"
    took = f" in {duration(run.ended - run.started)}" if times else ""
    return f"{run.name}{where}: {'✕ failed' if run.failed else f'✓ done{took}'}"


def answered(percent: float, bottom: float, label: str, colors: Palette) -> str:
    """A response: a line from the questions down to its task."""
    anchor, x = ("start", 4) if percent < 50 else ("end", -4)
    line = f'<rect x="-1" width="2" y="{TOP - 28}" height="{bottom - TOP + 28:g}" '
    words = text(x, TOP - 19, label, colors.wait, size=11, bold=True, anchor=anchor)
    return at(percent, f'{line}style="fill: {colors.wait}"/>', words if label else "")


def levels(pulse: Pulse, colors: Palette) -> Iterator[str]:
    """Lines that tell how tall a bar is, in seconds: three at most."""
    ceiling = ceiling_of(pulse)
    step = math.ceil(ceiling / 3)
    for level in range(step, int(ceiling) + 1, step):
        y = GROUND - (GROUND - TOP) * level / ceiling
        yield bar(0, 100 / 1.05, y, 0.1, f"stroke: {colors.faint}; stroke-dasharray: 1 5")
        yield at(100 / 1.05, text(0, y - 3, f"{level} s", colors.faint, size=11, anchor="end"))


def longest(pulse: Pulse, end: float) -> Iterator[str]:
    """The longest wait's length, over its bar."""
    slowest = max(pulse.beats, key=lambda beat: beat.waited(pulse.now), default=None)
    if slowest is not None and slowest.waited(pulse.now) > SLOW:
        waited = slowest.waited(pulse.now)
        y = GROUND - (GROUND - TOP) * waited / ceiling_of(pulse) - 5
        words = text(2, y, f"{waited:.1f} s", LIVE.text, size=12, bold=True, halo=LIVE.ground)
        yield at(100 * slowest.due / end, words)


def tick(moment: float, end: float, bottom: float, first: float) -> str:
    anchor = "start" if moment == 0 else "middle"
    label = mark(round(moment + first, 1), max(end, 1.0))
    return at(
        100 * moment / end,
        f'<rect width="1" y="{bottom - 3:g}" height="5" style="fill: {LIVE.faint}"/>',
        text(0, bottom + 14, label, LIVE.faint, size=11, anchor=anchor),
    )


def ceiling_of(pulse: Pulse) -> float:
    """The wait that reaches the top of the picture, in seconds."""
    return float(max(1, math.ceil(pulse.longest)))


def shifted(pulse: Pulse, first: float) -> Pulse:
    """The same pulse with times counted from `first`; what was over by then is left out."""

    def moved(moment: float | None) -> float | None:
        return None if moment is None else moment - first

    beats = [
        replace(beat, due=beat.due - first, answered=moved(beat.answered))
        for beat in pulse.beats
        if beat.due >= first
    ]
    work = [
        replace(
            run, started=run.started - first, ended=moved(run.ended), response=moved(run.response)
        )
        for run in pulse.work
        if run.ended is None or run.ended > first
    ]
    return replace(pulse, beats=tuple(beats), work=tuple(work), now=pulse.now - first)
