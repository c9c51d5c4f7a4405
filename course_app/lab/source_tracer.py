"""Records which lines of Starlette's and FastAPI's own source run while one request is served.

Only three files are looked at, only in the server's threads, and only between `start` and `stop`.
Python's `sys.settrace` is used since `sys.monitoring` begins with Python 3.12.
"""

import contextlib
import inspect
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import fastapi.background
import starlette.background
import starlette.responses
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from course_app.lab.loop_thread import LoopThread
from course_app.lab.recorder import name_of
from course_app.lab.source_steps import Function, Step

FILES = frozenset(
    str(module.__file__)
    for module in (starlette.background, starlette.responses, fastapi.background)
)


class LineTracer:
    """Turns the lines that run into steps, in the order in which they run."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._server: LoopThread | None = None
        self._sent = False
        self._functions: dict[CodeType, Function] = {}
        self._owners: list[object] = []
        """Kept alive, so that no two of them get the same id."""

    def watching(self, app: ASGIApp) -> ASGIApp:
        """The same app; the tracer sees when its response has been handed to the transport."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            async def watched_send(message: Message) -> None:
                await send(message)
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    self._sent = True

            await app(scope, receive, watched_send)

        return watched

    @contextlib.contextmanager
    def recording(self, server: LoopThread) -> Iterator[None]:
        """Record what the server's thread, and the worker threads that it starts, do meanwhile.

        A worker thread that is there already is not seen, so use a server that is new.
        """
        previous = threading.gettrace()
        self._server = server
        server.loop.call_soon_threadsafe(sys.settrace, self._enter)
        threading.settrace(self._enter)
        try:
            yield
        finally:
            threading.settrace(previous)
            self._server = None
            with contextlib.suppress(RuntimeError):  # the loop is closed, its thread is ending
                server.loop.call_soon_threadsafe(sys.settrace, None)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Python calls this whenever a function begins or goes on, in a traced thread."""
        if self._server is None:
            sys.settrace(None)
        elif frame.f_code.co_filename in FILES and self._is_server_thread():
            return self._line
        return None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and self._server is not None:
            on_loop = threading.current_thread() is self._server.thread
            owner = frame.f_locals.get("self")
            held = getattr(owner, "func", None)
            self.steps.append(
                Step(
                    function=self._function(frame.f_code),
                    number=frame.f_lineno,
                    where="on the event loop" if on_loop else "in a worker thread",
                    sent=self._sent,
                    owner=self._number(owner),
                    holds=name_of(held) if held is not None else None,
                )
            )
        return self._line

    def _is_server_thread(self) -> bool:
        thread, server = threading.current_thread(), self._server
        return server is not None and (
            thread is server.thread or getattr(thread, "loop", None) is server.loop
        )

    def _number(self, owner: object) -> int:
        for place, known in enumerate(self._owners):
            if known is owner:
                return place
        self._owners.append(owner)
        return len(self._owners) - 1

    def _function(self, code: CodeType) -> Function:
        if code not in self._functions:
            lines, first = inspect.getsourcelines(code)
            self._functions[code] = Function(
                file="/".join(Path(code.co_filename).parts[-2:]),
                name=code.co_qualname,
                first=first,
                lines=tuple(textwrap.dedent("".join(lines)).splitlines()),
            )
        return self._functions[code]
