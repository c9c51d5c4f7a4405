"""The bench's HTTP client: each request it sends is a span that starts a trace of its own."""

import asyncio
import concurrent.futures
import contextlib
import functools
import ssl
from typing import Any

import httpx
from opentelemetry import propagate
from opentelemetry.trace import SpanKind

from course_app.lab.errors import RequestError
from course_app.lab.loop_thread import LoopThread
from course_app.lab.recorder import SpanRecorder
from course_app.lab.story import FAILURE, STATUS

TIMEOUT = 60.0
"""Seconds a request may wait for its response, unless it is sent with `timeout=`."""


@functools.cache
def certificates() -> ssl.SSLContext:
    """The certificates that each httpx client would load for itself, loaded once.

    That takes 0.18 s of processor time at first and 0.05 s from then on, before the first request.
    """
    return httpx.create_ssl_context(trust_env=False)


class SpanClient:
    """Sends requests from a thread of its own, so that a response's arrival is seen when it
    arrives, also while the kernel is busy.
    """

    def __init__(self, base_url: str, recorder: SpanRecorder) -> None:
        self._recorder = recorder
        # trust_env would send requests to 127.0.0.1 through a proxy.
        self._http = httpx.AsyncClient(
            base_url=base_url, timeout=TIMEOUT, trust_env=False, verify=certificates()
        )
        self._thread = LoopThread("course_app.lab client")

    def send(
        self, method: str, path: str, **options: Any
    ) -> concurrent.futures.Future[httpx.Response]:
        """Send a request; `options` are those of `httpx.Client.request`.

        Raises RequestError for what is no request; the future raises it where no response comes.
        """
        sending = {key: options.pop(key) for key in ("auth", "follow_redirects") if key in options}
        try:
            request = self._http.build_request(method, path, **options)
        except Exception as error:  # whatever httpx makes of a learner's arguments
            raise RequestError(f"This request cannot be built: {error}") from None
        return self._thread.submit(self._follow(request, **sending))

    def close(self) -> None:
        """Give up what is on its way, and end the thread. Takes 3 seconds at most."""
        if self._thread.thread.is_alive():
            # cancelled: the interpreter ends, and the thread with it
            with contextlib.suppress(TimeoutError, concurrent.futures.CancelledError):
                self._thread.submit(self._http.aclose()).result(1.0)
            self._thread.stop()

    async def _follow(
        self, request: httpx.Request, follow_redirects: bool = False, **options: Any
    ) -> httpx.Response:
        response = await self._send(request, **options)
        while follow_redirects and response.next_request is not None:
            response = await self._send(response.next_request, **options)
        return response

    async def _send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        context, links = self._recorder.new_request()
        name = f"{request.method} {request.url.path}"
        attributes = {"http.request.method": request.method, "url.path": request.url.path}
        limit = request.extensions["timeout"]["read"]
        with self._recorder.tracer.start_as_current_span(
            name, context=context, kind=SpanKind.CLIENT, attributes=attributes, links=links
        ) as span:
            propagate.inject(request.headers)
            try:
                async with asyncio.timeout(limit):  # httpx has none for the response as a whole
                    try:
                        response = await self._http.send(request, **options)
                    except (httpx.NetworkError, httpx.RemoteProtocolError):
                        # A server closes an idle connection after a task has raised. A request
                        # that went out on it and never arrived is sent again, as browsers do.
                        if not self._recorder.awaits(span.get_span_context()):
                            raise
                        response = await self._http.send(request, **options)
            except (httpx.HTTPError, TimeoutError) as error:
                reason = why_no_response(error, limit)
                span.set_attribute(FAILURE, reason)
                raise RequestError(f"{name}: {reason}") from None
            except BaseException as error:
                stopped = isinstance(error, asyncio.CancelledError)
                reason = "the client stopped waiting" if stopped else type(error).__name__
                span.set_attribute(FAILURE, reason)
                raise
            span.set_attribute(STATUS, response.status_code)
            return response


def why_no_response(error: Exception, limit: float | None) -> str:
    if isinstance(error, httpx.ConnectError):
        return "nothing listens at this address. Is its server closed?"
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return f"no complete response within {counted(limit or 0)}"
    if isinstance(error, httpx.ReadError):
        return "the server closed the connection"
    if isinstance(error, httpx.RemoteProtocolError) and "body" in str(error):
        return "the response broke off before its end"
    if isinstance(error, httpx.RemoteProtocolError):
        return (
            "the server closed the connection. It does so when a background task of an earlier "
            "request on the same connection raises"
        )
    return f"{type(error).__name__}: {error}"


def counted(seconds: float) -> str:
    return "1 second" if seconds == 1 else f"{seconds:g} seconds"
