"""The bench's ASGI middleware: it counts the calls in flight and reports each of them as a span."""

import inspect

from opentelemetry import context, propagate, trace
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from course_app.lab.recorder import SpanRecorder, caller, described, name_of
from course_app.lab.story import CALL, SENT, STATUS, WORK

HEARTBEAT = "x-course-app-heartbeat"
"""Header of a heartbeat's requests. They show what others do to the app: they are not in the
traces, and nobody waits for them."""


class ObservedApp:
    """Runs `app` unchanged. A call has returned when its background tasks have."""

    def __init__(self, app: ASGIApp, recorder: SpanRecorder) -> None:
        self.app = app
        self.recorder = recorder
        self.in_flight = 0
        """Requests whose ASGI call has not returned."""
        self.startup_error: str | None = None
        """Why the app's lifespan did not start, or None."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_heartbeat(scope):
            self.in_flight += 1
            try:
                await self.observe(scope, receive, send)
            finally:
                self.in_flight -= 1
        elif scope["type"] == "lifespan":
            await self.start_up(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def observe(self, scope: Scope, receive: Receive, send: Send) -> None:
        parent, links = self.parent(scope)
        attributes = {"http.request.method": scope["method"], "url.path": scope["path"]}
        span = self.recorder.tracer.start_span(
            CALL, context=parent, attributes=attributes, links=links
        )

        async def observed_send(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body")
            if message["type"] == "http.response.start":
                span.set_attribute(STATUS, message["status"])
            if last and (work := background_of(caller(Response))):
                span.set_attribute(WORK, work)
            await send(message)
            if last:
                span.add_event(SENT)
                self.recorder.on_change()

        with trace.use_span(span, True, record_exception=False, set_status_on_exception=False):
            await self.app(with_trace(scope, span), receive, observed_send)

    def parent(self, scope: Scope) -> tuple[context.Context, list[trace.Link]]:
        """The context to start the call's span in: the client's trace if this bench's client
        sent the request, else a new one.
        """
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        sender = propagate.extract(headers, context=context.Context())
        if self.recorder.awaits(trace.get_current_span(sender).get_span_context()):
            return sender, []
        return self.recorder.new_request()

    async def start_up(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def observed_send(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                # A traceback, as Starlette sends it, ends with the reason.
                self.startup_error = (message.get("message", "").strip().splitlines() or ["?"])[-1]
            await send(message)

        call = self.app(scope, receive, observed_send)
        if not inspect.isawaitable(call):
            name, kind = name_of(self.app), type(call).__name__
            self.startup_error = f"{name} must be async, and its call returned {kind}"
        try:
            await call
        except BaseException as error:
            if self.startup_error is not None and inspect.isawaitable(call):
                self.startup_error = described(error)
            raise


def is_heartbeat(scope: Scope) -> bool:
    return any(name == HEARTBEAT.encode() for name, _ in scope["headers"])


def with_trace(scope: Scope, span: trace.Span) -> Scope:
    """The scope of the same request with the span as its parent, in the headers that say so."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context=trace.set_span_in_context(span))
    ours = [(name.lower().encode(), value.encode()) for name, value in carrier.items()]
    names = {name for name, _ in ours}
    others = [(name, value) for name, value in scope["headers"] if name not in names]
    return {**scope, "headers": others + ours}


def background_of(response: Response | None) -> str:
    """The names of the functions that a response's `background` is going to call."""
    background = getattr(response, "background", None)
    if background is None:
        return ""
    tasks = getattr(background, "tasks", [background])
    try:
        return ", ".join(name_of(getattr(task, "func", task)) for task in tasks)
    except TypeError:
        return name_of(background)
