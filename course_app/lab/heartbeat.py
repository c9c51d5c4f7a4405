"""A live view of how fast an app answers others, while it does what you asked of it."""

import asyncio
import contextlib
from html import escape
from types import TracebackType
from typing import Any, Self

import ipywidgets

from course_app.lab.bench import Bench
from course_app.lab.errors import stoppable
from course_app.lab.open_loop import OpenLoop
from course_app.lab.pulse import Pulse, work_of
from course_app.lab.pulse_drawing import draw_pulse

REDRAW = 0.1
"""Seconds between two redraws while it runs."""
AFTER = 3
"""Questions asked and answered once all is quiet again."""
LEAD = 0.4
"""Seconds of quiet before what a `with` block does."""
RECENT = 20
"""Requests whose tasks it looks at."""
BY_HAND = 10.0
"""Seconds that one press of the button asks for."""
STOPPED = "You stopped the heartbeat."
WORDS = "A heartbeat: how long GET {path} waits for its answer, drawn live when you run this cell."


class Heartbeat:
    """Asks GET `path` of a Lab's app ten times a second and draws each answer's delay.

        heartbeat = Heartbeat(lab)
        heartbeat                    # last in a cell: the live view
        async with heartbeat:        # asks as long as the block runs, and a moment before and after
            await lab.post("/email/ada@example.com")
            await lab.finished()
        heartbeat.pulse              # what it saw, as a picture and in words

    It asks from a thread of its own, which is gone when it has stopped. Its requests are in none
    of the Lab's traces.
    """

    def __init__(self, lab: Bench, path: str = "/ping") -> None:
        self._lab = lab
        self._path = path
        self._loop: OpenLoop | None = None
        self._drawing: asyncio.Task[None] | None = None
        self.pulse = Pulse(path)
        """What it has seen, up to the last redraw."""
        self._picture = ipywidgets.HTML()
        self._button = ipywidgets.Button(
            description=f"Ask {path} for {BY_HAND:g} s", icon="heartbeat",
            layout=ipywidgets.Layout(width="max-content"),
        )  # fmt: skip
        self._button.on_click(lambda _: self._start(BY_HAND))
        self.widget = ipywidgets.VBox([self._picture, self._button])
        self._draw()

    async def __aenter__(self) -> Self:
        self._start()
        try:
            with stoppable(STOPPED):
                await asyncio.sleep(LEAD)
        except BaseException:  # the cell was interrupted before its block began
            self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                with stoppable(STOPPED):
                    await self._settled()
        finally:
            self.close()

    def close(self) -> None:
        """Stop asking, now; the picture stays."""
        if self._drawing is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed, and it with it
                self._drawing.cancel()
        if self._loop is not None:
            self._look()
            self._loop.stop()
        self._loop = self._drawing = None
        self._button.disabled = False
        self._draw()

    def _start(self, seconds: float | None = None) -> None:
        self.close()
        self._button.disabled = True
        self._loop = OpenLoop(self._lab.url, self._path)
        self._drawing = asyncio.get_running_loop().create_task(self._draw_for(seconds))

    async def _draw_for(self, seconds: float | None) -> None:
        loop = self._loop
        while loop is not None and loop.running and (seconds is None or loop.now < seconds):
            self._look()
            self._draw()
            await asyncio.sleep(REDRAW)
        self._drawing = None  # this task: it must not cancel itself
        self.close()

    async def _settled(self) -> None:
        """Wait until what was asked so far is answered, and a few questions after that as well.

        On a busy machine it takes a while until a stall's last question has its answer.
        """
        loop = self._loop
        end = loop.now if loop is not None else 0.0
        while loop is not None and loop.running:
            beats, now = loop.beats(), loop.now
            # An open question reaches up to now: none that was due later can have its answer yet.
            clear = max([end, *(beat.due + beat.waited(now) for beat in beats if beat.due < end)])
            if sum(beat.due > clear and beat.answered is not None for beat in beats) >= AFTER:
                break
            await asyncio.sleep(0.02)

    def _look(self) -> None:
        if self._loop is not None:
            work = work_of(self._lab.recorder.traces(RECENT), self._loop.began_at)
            self.pulse = Pulse(self._path, self._loop.beats(), work, self._loop.now)

    def _draw(self) -> None:
        try:
            drawn, words = draw_pulse(self.pulse), escape(self.pulse.sentence)
            self._picture.value = (
                f'<figure style="margin: 0">{drawn}'
                f'<figcaption style="padding-left: 12px; line-height: 1.5">{words}</figcaption>'
                "</figure>"
            )
        except Exception as error:  # Jupyter would drop it, and the picture would stand still
            self._picture.value = f"<p>The picture cannot be drawn: {escape(repr(error))}</p>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = self.widget._repr_mimebundle_(**kwargs) or {}
        return {**bundle, "text/plain": WORDS.format(path=self._path)}

    def __repr__(self) -> str:
        return f"<Heartbeat GET {self._path}, {'asking' if self._loop else 'at rest'}>"
