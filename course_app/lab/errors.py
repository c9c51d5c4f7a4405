"""What the bench says to the person in front of the notebook.

In a notebook each of these shows as its sentence alone: IPython asks the exception itself for its
traceback, and the frames inside the bench would hide the sentence.
"""

import asyncio
import contextlib
from collections.abc import Iterator


class LabError(RuntimeError):
    """Something the bench could not do, and what to do about it."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class AppError(LabError):
    """The object is no ASGI app, or its start-up failed."""


class RequestError(LabError):
    """A request that could not be sent, or that got no response."""


class StillRunning(LabError, TimeoutError):
    """The time limit passed while requests or tasks were still running."""


@contextlib.contextmanager
def stoppable(words: str) -> Iterator[None]:
    """Where the learner presses Stop, the notebook shows this sentence and no frames."""
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt) as stop:
        shown = [f"{type(stop).__name__}: {words}"]
        setattr(stop, "_render_traceback_", lambda: shown)  # noqa: B010
        raise
