"""The live view: draws the newest requests while something happens, never while nothing does."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from html import escape

import ipywidgets

from course_app.lab.drawing import ROOM, draw
from course_app.lab.svg import fitted
from course_app.lab.trace import Trace, printable

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
        loop = asyncio.get_running_loop()
        if loop is not self._loop and threading.current_thread() is threading.main_thread():
            self._loop, self._drawing, self._woken = loop, None, False

    def changed(self) -> None:
        """Something happened: see to it that it is drawn."""
        loop = self._loop
        if loop is not None and not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # closed: `attach` brings another
                loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._drawing is None or self._drawing.done():
            self._drawing = asyncio.get_running_loop().create_task(self._draw_while_running())

    async def _draw_while_running(self) -> None:
        running = False
        while (running or self._woken) and not self.closed:
            self._woken = False
            running = self.draw()
            await asyncio.sleep(INTERVAL)

    def close(self, why: str) -> None:
        """Draw once more, then never again; the picture stays and says why."""
        self.closed = why
        self._loop = None
        self.draw()

    def draw(self) -> bool:
        """Draw now; whether something in the picture still runs."""
        try:
            traces = self._traces(NEWEST)
            details = self._details.value
            self._picture.value = page(traces, time.time(), self.closed, details=details)
        except Exception as error:  # Jupyter would drop it, and the picture would stand still
            self._picture.value = f"<p>The picture cannot be drawn: {escape(repr(error))}</p>"
            return False
        return any(trace.running for trace in traces)


def page(traces: list[Trace], now: float, closed: str, *, details: bool) -> str:
    """The newest requests as HTML, the newest first, each with its words below."""
    blocks = [
        '<figure style="margin: 0 0 12px; line-height: 1.5; overflow-wrap: anywhere">'
        f'<strong style="padding-left: 12px">{heading(trace)}</strong>'
        f'<div style="margin-top: -22px">{draw(trace, now, details=details)}</div>'
        f'<figcaption style="padding-left: 12px">{escape(trace.sentence)}</figcaption></figure>'
        for trace in reversed(traces)
    ]
    note = f'<p style="padding-left: 12px"><em>{escape(closed)}</em></p>' if closed else ""
    return note + ("".join(blocks) or f'<p style="padding-left: 12px">{EMPTY}</p>')


def heading(trace: Trace) -> str:
    return escape(fitted(printable(f"{trace.method} {trace.path}"), 2 * ROOM, 14))
