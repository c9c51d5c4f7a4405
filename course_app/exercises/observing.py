"""What the functions of an exercise's answer did, in order: for checkers."""

import asyncio
import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from course_app.exercises.checking import Wrong
from course_app.lab import Bench, StillRunning

APP = "the app"
SENT = "the response was sent"
RETURNED = "the app returned"
STRAGGLERS = 0.7
"""Seconds to wait for work that the app did not wait for."""


@dataclass
class Seen:
    """Events of one request, and the functions that report them. Times are in seconds."""

    events: list[tuple[str, str]] = field(default_factory=list)
    """Pairs such as ("first", "started"), ("first", "ended") and (APP, SENT), in order."""
    arguments: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """What each function was called with: its positional arguments, then the keyword ones."""
    threads: dict[str, threading.Thread] = field(default_factory=dict)
    escaped: BaseException | None = None
    """The exception that left the app, or None."""
    problem: str = ""
    """What the request's own endpoint found wrong, as a sentence."""

    def plain(self, name: str, seconds: float = 0.2) -> Callable[..., None]:
        """A `def` function of this name that takes so long and reports what is seen."""

        def function(*args: Any, **kwargs: Any) -> None:
            self._called(name, args, kwargs)
            time.sleep(seconds)
            self.events.append((name, "ended"))

        function.__name__ = name
        return function

    def awaited(self, name: str, seconds: float = 0.2) -> Callable[..., Any]:
        """An `async def` function of this name that takes so long and reports what is seen."""

        async def function(*args: Any, **kwargs: Any) -> None:
            self._called(name, args, kwargs)
            await asyncio.sleep(seconds)
            self.events.append((name, "ended"))

        function.__name__ = name
        return function

    def failing(self, name: str, error: Exception) -> Callable[..., None]:
        def function(*args: Any, **kwargs: Any) -> None:
            self._called(name, args, kwargs)
            raise error

        function.__name__ = name
        return function

    def _called(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.events.append((name, "started"))
        self.arguments[name] = (*args, *sorted(kwargs.items()))
        self.threads[name] = threading.current_thread()

    def runs(self, name: str) -> int:
        """How often the function was called."""
        return self.events.count((name, "started"))

    def started(self) -> list[str]:
        """The names of the functions that were called, in order."""
        return [name for name, what in self.events if what == "started"]

    def before(self, earlier: tuple[str, str], later: tuple[str, str]) -> bool:
        """Whether both happened, the one before the other."""
        seen = self.events
        return earlier in seen and later in seen and seen.index(earlier) < seen.index(later)

    def observing(self, app: ASGIApp) -> ASGIApp:
        """The same app; its response and its end are events too."""

        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            async def observed_send(message: Message) -> None:
                await send(message)
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    self.events.append((APP, SENT))

            self.threads[APP] = threading.current_thread()
            try:
                await app(scope, receive, observed_send)
            except Exception as error:
                self.escaped = error
                raise
            finally:
                if scope["type"] == "http":
                    self.events.append((APP, RETURNED))

        return observed


async def settle(bench: Bench, seen: Seen, expected: int, timeout: float = 3.0) -> None:
    """Wait for the request's end; then a little, if functions are missing or still at work.

    Raises Wrong if a function is called over and over.
    """
    try:
        await bench.finished(timeout)
    except StillRunning:
        often = [name for name in seen.started() if seen.runs(name) > 1]
        if often:
            raise Wrong(
                f"{often[0]} was called {seen.runs(often[0])} times within {timeout:g} seconds, "
                "and it goes on: what ends the loop?"
            ) from None
        raise Wrong(
            f"After {timeout:g} seconds the app was not done with the request. "
            f"Functions called by then: {', '.join(seen.started()) or 'none'}."
        ) from None
    deadline = time.monotonic() + STRAGGLERS
    while time.monotonic() < deadline:
        ended = [name for name, what in seen.events if what == "ended"]
        if len(ended) >= expected and len(ended) >= len(seen.started()):
            return
        await asyncio.sleep(0.02)


def must_have_waited(seen: Seen) -> None:
    """Raise Wrong if the server thought that the request was done while a task was not."""
    for name in seen.started():
        if not seen.before((name, "ended"), (APP, RETURNED)):
            raise Wrong(
                f"`await background()` came back before {name} had ended. The server does not know "
                "of such work and would not wait for it when it stops: await each task."
            )


@contextlib.contextmanager
def no_warnings_of_coroutines() -> Iterator[None]:
    """An answer that forgets an `await` gets a sentence, not a warning of Python's as well."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        yield
