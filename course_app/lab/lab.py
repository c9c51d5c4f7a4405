"""The learner's bench: a running app, its live timeline, and a form that sends requests."""

import atexit
import contextlib
from typing import Any

import httpx
import ipywidgets

from course_app.lab import interrupt
from course_app.lab.bench import Bench
from course_app.lab.console import Console
from course_app.lab.errors import stoppable
from course_app.lab.server import STUCK
from course_app.lab.timeline import Timeline

WORDS = "A form that sends requests, and the live timeline: both appear when you run this cell."
NEWER = "Closed: a newer Lab has taken over. To go on here, run its cell again."
STOPPED = "You stopped this cell before its Lab was ready. Run it again."
_open: "Lab | None" = None


class Lab(Bench):
    """Serves an ASGI app from a thread of the kernel and shows what its requests do.

    As the last line of a cell it shows a form that sends requests and the live timeline. A new Lab
    closes the one before it, whose picture stays.

    Raises AppError if the app cannot be started.
    """

    def __init__(self, app: Any) -> None:
        global _open
        with stoppable(STOPPED):
            if _open is not None:
                _open.close(NEWER)
            super().__init__(app)
        _open = self
        self._timeline = Timeline(self.recorder.traces)
        self.recorder.on_change = self._timeline.changed
        with contextlib.suppress(RuntimeError):  # no event loop yet: the first request brings it
            self._timeline.attach()
            interrupt.arm(self)
        self.widget = ipywidgets.VBox([Console(self, app).widget, self._timeline.widget])

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        self._timeline.attach()
        return await super().request(method, path, **options)

    def close(self, why: str = "Closed.") -> None:
        """Stop the server and free its port; the picture stays. Takes 4.5 seconds at most."""
        if not self._timeline.closed:
            self._close(why)
            if self.server.stuck:
                print(f"The server is closed. {STUCK}")

    def _close(self, why: str = "Closed.") -> None:
        global _open
        super()._close()
        self._timeline.close(f"{why} {STUCK}" if self.server.stuck else why)
        if _open is self:
            _open = None

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = self.widget._repr_mimebundle_(**kwargs) or {}
        return {**bundle, "text/plain": WORDS}

    def __repr__(self) -> str:
        return f"<Lab {'closed' if self.server.closed else self.url}>"


@atexit.register
def _close_at_exit() -> None:
    if _open is not None:
        Bench.close(_open)  # without a word: nobody reads it any more
