"""A real HTTP server for an ASGI app, in a thread of this process."""

import concurrent.futures
import contextlib
import inspect
import logging
import socket
import time
from typing import Any

import uvicorn

from course_app.lab.asgi import ObservedApp
from course_app.lab.errors import AppError
from course_app.lab.loop_thread import LoopThread
from course_app.lab.recorder import SpanRecorder

START_TIMEOUT = 6.0
"""Seconds an app's start-up may take."""
STUCK = "Its thread is blocked and cannot be ended: restart the kernel."


# With no handler at all, logging would print tracebacks into whatever cell is running.
for name in ("uvicorn", "opentelemetry"):
    logging.getLogger(name).addHandler(logging.NullHandler())


class KernelServer:
    """Serves `app` with uvicorn on 127.0.0.1, on a free port and an event loop of its own.

    The loop is not the kernel's: on one loop with the client, an async task that blocks would also
    delay the client's reading, and the response would seem to come after the task.

    Raises AppError if `app` is no ASGI app or its start-up fails or takes over START_TIMEOUT.
    """

    def __init__(self, app: Any, recorder: SpanRecorder) -> None:
        look_at(app)
        self.app = ObservedApp(app, recorder)
        self.stuck = False
        self._closing_done = False
        # With IPPROTO_TCP named, asyncio sets TCP_NODELAY: 1.8 ms a request instead of 44 ms.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self.app,
            interface="asgi3",  # uvicorn would take a callable object for ASGI 2
            loop="asyncio",  # uvloop 0.22 delivers a response only after a blocking async task
            log_config=None,
            access_log=False,
        )
        self._uvicorn = uvicorn.Server(config)
        self.thread = LoopThread(f"course_app.lab server {self.url}")
        self._serving = self.thread.submit(self._serve())
        try:
            self._wait_for_start()
        except BaseException:  # Stop, too, must leave no thread and no port
            self.close()
            raise

    async def _serve(self) -> None:
        with contextlib.suppress(SystemExit):  # how uvicorn gives up; the app has said why
            await self._uvicorn.serve(sockets=[self._socket])

    def _wait_for_start(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not (self._uvicorn.started or self._serving.done()) and time.monotonic() < deadline:
            time.sleep(0.005)
        if self._uvicorn.started and self.app.startup_error is None:
            return
        reason = self.app.startup_error
        if reason is None and self._serving.done() and (error := self._serving.exception()):
            reason = f"{type(error).__name__}: {error}"
        if reason is None:
            reason = f"its lifespan has not reached `yield` after {START_TIMEOUT:.0f} seconds"
        self.close()
        raise AppError(f"The app did not start: {reason}{f'. {STUCK}' if self.stuck else ''}")

    @property
    def in_flight(self) -> int:
        """Requests the app is not done with, background tasks included."""
        return self.app.in_flight

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._uvicorn.should_exit

    def close(self) -> None:
        """Free the port and end the thread: politely for a second, then with growing force.

        Takes 3.5 seconds at most. `stuck` is True afterwards if the thread could not be ended.
        Interrupted midway, it goes on when it is called again.
        """
        if self._closing_done:
            return
        self._uvicorn.should_exit = True
        self._wait_for_end(1.0)
        with contextlib.suppress(OSError):  # a stuck loop still has the port: refuse new clients
            self._socket.shutdown(socket.SHUT_RDWR)
        self._uvicorn.force_exit = True
        self._wait_for_end(0.5)
        self.stuck = not self.thread.stop()
        self._socket.close()
        self._closing_done = True

    def _wait_for_end(self, seconds: float) -> None:
        if not self.thread.blocked:
            concurrent.futures.wait([self._serving], timeout=seconds)


def look_at(app: object) -> None:
    """Raise AppError unless `app` can be called as an ASGI app: uvicorn would start anything."""
    kind = type(app).__name__
    if inspect.isclass(app):
        raise AppError(
            f"{app.__name__} is a class. Give the Lab an app made with it: {app.__name__}()"
        )
    try:
        signature = inspect.signature(app) if callable(app) else None
    except (TypeError, ValueError):  # nobody knows how to call it
        signature = None
    if signature is None:
        shown = repr(app) if isinstance(app, str | int | float | None) else "an object"
        raise AppError(
            f"The Lab needs an ASGI app such as FastAPI(), and got {shown:.60} ({kind})."
        )
    name = getattr(app, "__name__", kind)
    if not signature.parameters:
        raise AppError(
            f"{name}() is no ASGI app. If it is a function that makes the app, call it: "
            f"Lab({name}())"
        )
    try:
        signature.bind("scope", "receive", "send")
    except TypeError:
        raise AppError(
            f"{name}{signature} is no ASGI app: a server would call it with three "
            "arguments (scope, receive, send). A FastAPI app is called `app` by custom."
        ) from None
