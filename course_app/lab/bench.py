"""A server, a client and a recorder around one app: the base of a Lab and of a check."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx

from course_app.lab import interrupt
from course_app.lab.client import SpanClient, counted
from course_app.lab.errors import LabError, RequestError, StillRunning, stoppable
from course_app.lab.recorder import SpanRecorder
from course_app.lab.server import STUCK, KernelServer
from course_app.lab.trace import Trace, printable

BLOCKED_LIMIT = 10.0
"""Seconds the server's event loop may be blocked before the bench gives it up."""
STOPPED = "You stopped the waiting. The app goes on with what it has begun."


class Bench:
    """Runs an ASGI app, sends it requests, and knows what each of them did.

    Raises AppError if the app cannot be started.
    """

    def __init__(self, app: Any, on_change: Callable[[], None] = lambda: None) -> None:
        self.recorder = SpanRecorder(on_change=on_change)
        self.server = KernelServer(app, self.recorder)
        self._client = SpanClient(self.server.url, self.recorder)
        self._asking = 0
        self._closing = False

    @property
    def url(self) -> str:
        """The server's address, such as "http://127.0.0.1:49152"."""
        return self.server.url

    @property
    def traces(self) -> list[Trace]:
        """The newest 100 requests' traces, oldest first, those of other clients included.

        A request that is not finished stays among them however old it is.
        """
        return self.recorder.traces()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request and return its response; `options` are those of `httpx.Client.request`.

        Raises RequestError if it cannot be sent, or gets no response within a minute.
        """
        self._must_be_open()
        interrupt.arm(self)
        answer = asyncio.wrap_future(self._client.send(method, path, **options))
        self._asking += 1
        try:
            with stoppable(STOPPED):
                while not (await asyncio.wait({answer}, timeout=0.5))[0]:
                    self._must_be_responsive()
            return answer.result()
        except (RequestError, asyncio.CancelledError):
            if self._closing and answer.done():
                reason = "the Lab was closed before the response came"
                raise RequestError(f"{method} {path}: {reason}") from None
            raise
        finally:
            answer.cancel()
            self._asking -= 1

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("POST", path, **options)

    async def put(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("PUT", path, **options)

    async def patch(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("DELETE", path, **options)

    async def finished(self, timeout: float = 30) -> Trace:
        """Wait until no request is in flight, background tasks included; the newest one's Trace.

        While there are workers of the lab, it waits for the jobs that requests gave them as well.
        Raises StillRunning, a TimeoutError, after `timeout` seconds.
        """
        self._must_be_open()
        interrupt.arm(self)
        deadline = time.monotonic() + timeout
        with stoppable(STOPPED):
            while self._asking or self.server.in_flight or self.recorder.elsewhere:
                self._must_be_responsive()
                if time.monotonic() > deadline:
                    raise StillRunning(
                        f"Still running after {counted(timeout)}: {self._at_work()}."
                    )
                await asyncio.sleep(0.005)
                self._must_be_open()
        newest = self.recorder.traces(newest=1)
        if not newest:
            raise LabError("No request has been sent yet, so there is nothing to wait for.")
        return newest[0]

    def close(self) -> None:
        """Stop the server and free its port. Takes 4.5 seconds at most."""
        self._close()

    def _close(self) -> None:
        self._closing = True
        self._client.close()
        self.server.close()
        interrupt.disarm(self)

    def _must_be_open(self) -> None:
        if self._closing:
            raise LabError("This Lab is closed, so its server is gone. Make a new one: Lab(app).")

    def _must_be_responsive(self) -> None:
        blocked = self.server.thread.blocked_for
        if blocked > BLOCKED_LIMIT:
            at_work = self._at_work()
            self._close()
            raise LabError(
                f"The server's event loop has been blocked for {counted(round(blocked))}: an async "
                f"function runs without ever awaiting. At work: {at_work}. The server is closed. "
                + (STUCK if self.server.stuck else "Mend the function and make a new Lab.")
            )

    def _at_work(self) -> str:
        """What is not finished: tasks, each with its request, and requests without a task."""
        found = []
        for trace in self.traces:
            request = f"{trace.method} {trace.path}"
            tasks = [task.label for task in trace.tasks if task.ended is None]
            tasks += [f"{job}, for which no worker was free" for job in trace.queued]
            found += [f"{task}, started by {request}" for task in tasks]
            found += [request] * (not trace.finished and not tasks)
        return printable("; ".join(dict.fromkeys(found))) or "nothing that the bench knows of"
