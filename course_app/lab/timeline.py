"""The live view: draws the newest requests while something happens, never while nothing does."""

import asyncio
import time
from collections.abc import Callable
from html import escape

import ipywidgets

from course_app.lab.drawing import draw
from course_app.lab.trace import Trace

NEWEST = 3
"""Requests shown."""
INTERVAL = 0.1
"""Seconds between two redraws while something runs."""
EMPTY = "No request yet. Press Send, or send one from a cell."


class Timeline:
    """An ipywidgets view of `traces(n)`, the newest n requests, oldest first.

    `changed` may be called in any thread; drawing happens on the kernel's event loop.
    """

    def __init__(self, traces: Callable[[int], list[Trace]]) -> None:
        self._traces = traces
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drawing: asyncio.Task[None] | None = None
        self._woken = False
        self.closed = ""
        """Why the server behind this picture is gone, or an empty string."""
        self._picture = ipywidgets.HTML()
        self._details = ipywidgets.Checkbox(description="show details", indent=False)
        self._details.observe(lambda _: self.draw(), names="value")
        self.widget = ipywidgets.VBox([self._picture, self._details])
        self.draw()

    def attach(self) -> None:
        """Draw on the event loop that is running now: the kernel's, called from a cell."""
        self._loop = asyncio.get_running_loop()

    def changed(self) -> None:
        """Something happened: see to it that it is drawn."""
        if self._loop is not None and not self._woken and not self._loop.is_closed():
            self._woken = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._woken = False
        if self._drawing is None or self._drawing.done():
            self._drawing = asyncio.get_running_loop().create_task(self._draw_while_running())

    async def _draw_while_running(self) -> None:
        running = True
        while running and not self.closed:
            running = any(not trace.finished for trace in self._traces(NEWEST))
            self.draw()
            await asyncio.sleep(INTERVAL)

    def close(self, why: str) -> None:
        """Draw once more, then never again; the picture stays and says why."""
        self.closed = why
        if self._drawing is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._drawing.cancel)
        self._loop = None
        self.draw()

    def draw(self) -> None:
        try:
            self._picture.value = page(
                self._traces(NEWEST),
                time.time(),
                self.closed,
                details=self._details.value,
            )
        except Exception as error:  # Jupyter would drop it, and the picture would stand still
            self._picture.value = f"<p>The picture cannot be drawn: {escape(repr(error))}</p>"


def page(traces: list[Trace], now: float, closed: str, *, details: bool) -> str:
    """The newest requests as HTML, the newest first, each with its words below."""
    blocks = [
        f'<figure style="margin: 0 0 12px; line-height: 1.5">'
        f'<strong style="padding-left: 12px">{escape(f"{trace.method} {trace.path}")}</strong>'
        f'<div style="margin-top: -22px">{draw(trace, now, details=details)}</div>'
        f'<figcaption style="padding-left: 12px">{escape(trace.sentence)}</figcaption></figure>'
        for trace in reversed(traces)
    ]
    note = f'<p style="padding-left: 12px"><em>{escape(closed)}</em></p>' if closed else ""
    return note + ("".join(blocks) or f'<p style="padding-left: 12px">{EMPTY}</p>')
