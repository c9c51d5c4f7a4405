"""A server, a client and a recorder around one app: the base of a Lab and of a check."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import httpx
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind

from course_app.lab.errors import LabError, RequestError, StillRunning
from course_app.lab.interrupt import WakeOnSignal
from course_app.lab.loop_thread import LoopThread
from course_app.lab.recorder import SpanRecorder
from course_app.lab.server import KernelServer
from course_app.lab.story import FAILURE
from course_app.lab.trace import Trace, listed

REQUEST_TIMEOUT = 60.0
"""Seconds a request may wait for its response."""
BLOCKED_LIMIT = 10.0
"""Seconds the server's event loop may be blocked before the bench gives it up."""


class Bench:
    """Runs an ASGI app, sends it requests, and knows what each of them did.

    Raises AppError if the app cannot be started.
    """

    def __init__(self, app: Any, on_change: Callable[[], None] = lambda: None) -> None:
        self.recorder = SpanRecorder(on_change=on_change)
        self.server = KernelServer(app, self.recorder)
        # A thread of its own, so that a response's arrival is seen when it arrives, also while
        # the kernel is busy.
        self._client_thread = LoopThread("course_app.lab client")
        self._client = httpx.AsyncClient(
            base_url=self.server.url, timeout=REQUEST_TIMEOUT, trust_env=False
        )
        self._asking = 0
        self._wake = WakeOnSignal()

    @property
    def url(self) -> str:
        """The server's address, such as "http://127.0.0.1:49152"."""
        return self.server.url

    @property
    def traces(self) -> list[Trace]:
        """The newest 100 requests' traces, oldest first, those of other clients included."""
        return self.recorder.traces()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request and return its response; `options` are those of `httpx.Client.request`.

        Raises RequestError if it cannot be sent, or gets no response within REQUEST_TIMEOUT.
        """
        self._must_be_open()
        self._wake.arm()
        try:
            request = self._client.build_request(method, path, **options)
        except (TypeError, ValueError, httpx.InvalidURL) as error:
            raise RequestError(f"This request cannot be built: {error}") from None
        self._asking += 1
        answer = asyncio.wrap_future(self._client_thread.submit(self._send(request)))
        try:
            while not (await asyncio.wait({answer}, timeout=0.5))[0]:
                self._must_be_responsive()
            return answer.result()
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

        Raises StillRunning, a TimeoutError, after `timeout` seconds.
        """
        self._must_be_open()
        self._wake.arm()
        deadline = time.monotonic() + timeout
        while self._asking or self.server.in_flight:
            self._must_be_responsive()
            if time.monotonic() > deadline:
                raise StillRunning(self._still_running(timeout))
            await asyncio.sleep(0.005)
        newest = self.recorder.traces(newest=1)
        if not newest:
            raise LabError("No request has been sent yet, so there is nothing to wait for.")
        return newest[0]

    def close(self) -> None:
        """Stop the server and free its port. Takes 4 seconds at most."""
        if not self.server.closed:
            with contextlib.suppress(TimeoutError):
                self._client_thread.submit(self._client.aclose()).result(1.0)
            self._client_thread.stop()
            self.server.close()
            self._wake.close()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        context, links = self.recorder.new_request()
        attributes = {
            "http.request.method": request.method,
            "url.path": request.url.path,
        }
        with trace.get_tracer("course_app.lab").start_as_current_span(
            f"{request.method} {request.url.path}",
            context=context,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            links=links,
        ) as span:
            propagate.inject(request.headers)
            try:
                response = await self._client.send(request)
            except httpx.HTTPError as error:
                reason = why_no_response(error)
                span.set_attribute(FAILURE, reason)
                raise RequestError(f"{request.method} {request.url.path}: {reason}") from None
            span.set_attribute("http.response.status_code", response.status_code)
            return response

    def _must_be_open(self) -> None:
        if self.server.closed:
            raise LabError("This Lab is closed, so its server is gone. Make a new one: Lab(app).")

    def _must_be_responsive(self) -> None:
        blocked = self.server.thread.blocked_for
        if blocked > BLOCKED_LIMIT:
            self.close()
            raise LabError(
                f"The server's event loop has been blocked for {blocked:.0f} seconds: an async "
                "function in the app runs without ever awaiting. The server is closed. "
                + (
                    "Its thread could not be ended: restart the kernel."
                    if self.server.stuck
                    else "Mend the function and make a new Lab."
                )
            )

    def _still_running(self, timeout: float) -> str:
        at_work = [trace for trace in self.traces if not trace.finished]
        tasks = [task.name for trace in at_work for task in trace.tasks if task.ended is None]
        requests = [f"{trace.method} {trace.path}" for trace in at_work]
        what = f"{listed(tasks)}, started by {listed(requests)}" if tasks else listed(requests)
        return f"Still running after {timeout:g} seconds: {what}."


def why_no_response(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectError):
        return "nothing listens at this address. Is its server closed?"
    if isinstance(error, httpx.TimeoutException):
        return f"no response within {REQUEST_TIMEOUT:g} seconds"
    if isinstance(error, httpx.RemoteProtocolError):
        return (
            f"the server closed the connection ({error}). It does so when a background task of an "
            "earlier request on the same connection raises"
        )
    return f"{type(error).__name__}: {error}"
