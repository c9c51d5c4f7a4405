"""Any ASGI app works on the bench, unchanged, and its work after the response appears."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, StreamingResponse
from opentelemetry import trace as opentelemetry_trace
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.background import BackgroundTasks as StarletteTasks
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from course_app.lab import Bench, Trace
from course_app.lab.trace import AFTER_RESPONSE
from tests.support.benches import on_a_bench

FIRST = ("response", "write_log")


def write_log(message: str = "") -> None:
    time.sleep(0.3)


async def write_log_async() -> None:
    await asyncio.sleep(0.3)


def fail() -> None:
    time.sleep(0.1)
    raise ValueError("no such address\nand a second line")


def told(app: Any, *requests: str, method: str = "GET") -> list[Trace]:
    """The traces of these paths, all sent at once."""

    async def story(bench: Bench) -> list[Trace]:
        await asyncio.gather(*(bench.request(method, path) for path in requests))
        await bench.finished(10)
        found = {trace.path: trace for trace in bench.traces}
        return [found[path] for path in requests]

    return on_a_bench(app, story)


def one(app: Any, path: str = "/", method: str = "GET") -> Trace:
    (trace,) = told(app, path, method=method)
    return trace


def app_with(*tasks: Callable[..., Any], **options: Any) -> FastAPI:
    app = FastAPI(**options)

    @app.get("/")
    def read_root(background_tasks: BackgroundTasks) -> None:
        for task in tasks:
            background_tasks.add_task(task)

    return app


# What the app is made of


def test_lifespan_with_state() -> None:
    events = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, int]]:
        events.append("start")
        yield {"answer": 42}
        events.append("stop")

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    def read_root(request: Request) -> int:
        return int(request.state.answer)

    async def story(bench: Bench) -> int:
        return int((await bench.get("/")).json())

    assert on_a_bench(app, story) == 42
    assert events == ["start", "stop"]


def test_routers_mounted_apps_and_middleware() -> None:
    app, mounted, router = FastAPI(), FastAPI(), APIRouter(prefix="/router")

    @mounted.get("/task")
    @router.get("/task")
    def add_task(background_tasks: BackgroundTasks) -> str:
        background_tasks.add_task(write_log)
        return "x" * 1000

    class Middleware(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            response = await call_next(request)
            response.headers["seen"] = "yes"
            return response

    app.include_router(router)
    app.mount("/mounted", mounted)
    app.add_middleware(GZipMiddleware, minimum_size=1)
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    app.add_middleware(Middleware)

    async def story(bench: Bench) -> None:
        for path in ("/router/task", "/mounted/task"):
            response = await bench.get(path, headers={"origin": "http://example.com"})
            assert response.headers["content-encoding"] == "gzip"
            assert response.headers["seen"] == "yes"
            assert response.headers["access-control-allow-origin"] == "*"
            trace = await bench.finished()
            assert trace.order == FIRST
            assert trace.tasks[0].where == "worker thread"

    on_a_bench(app, story)


def test_kinds_of_responses(tmp_path: Path) -> None:
    app, file = FastAPI(), tmp_path / "file.txt"
    file.write_text("hello")

    def add_log(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(write_log)

    @app.get("/stream", dependencies=[Depends(add_log)])
    def stream() -> StreamingResponse:
        return StreamingResponse(iter(["a", "b", "c"]))

    @app.get("/file", dependencies=[Depends(add_log)])
    def send_file() -> FileResponse:
        return FileResponse(file)

    @app.get("/redirect", dependencies=[Depends(add_log)])
    def redirect() -> RedirectResponse:
        return RedirectResponse("/stream")

    @app.get("/404", dependencies=[Depends(add_log)])
    def not_found() -> JSONResponse:
        return JSONResponse({}, status_code=404)

    @app.get("/204", status_code=204, dependencies=[Depends(add_log)])
    def no_content() -> None: ...

    @app.head("/head", dependencies=[Depends(add_log)])
    def head() -> None: ...

    async def story(bench: Bench) -> None:
        answers = await asyncio.gather(
            *(bench.get(path) for path in ("/stream", "/file", "/404", "/204", "/redirect")),
            bench.request("HEAD", "/head"),
        )
        assert [(answer.status_code, answer.text) for answer in answers] == [
            (200, "abc"), (200, "hello"), (404, "{}"), (204, ""), (307, ""), (200, ""),
        ]  # fmt: skip
        await bench.finished()
        assert [trace.order for trace in bench.traces] == [FIRST] * 6
        followed = await bench.get("/redirect", follow_redirects=True)
        assert (followed.status_code, followed.text) == (200, "abc")
        await bench.finished()
        assert [trace.status for trace in bench.traces[6:]] == [307, 200]

    on_a_bench(app, story)


def test_a_websocket_does_not_disturb() -> None:
    app = app_with(write_log)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    async def story(bench: Bench) -> None:
        port = int(bench.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await bench.get("/")
        assert (await bench.finished()).order == FIRST

    on_a_bench(app, story)


# Names of tasks


def test_the_names_of_all_kinds_of_callables() -> None:
    class Mailer:
        def send(self) -> None: ...
        async def __call__(self) -> None: ...

    mailer = Mailer()
    tasks = [
        functools.partial(write_log, "x"), functools.partial(functools.partial(write_log_async)),
        mailer, mailer.send, lambda: None,
    ]  # fmt: skip
    trace = one(app_with(*tasks))
    assert [(task.name, task.where) for task in trace.tasks] == [
        ("write_log", "worker thread"),
        ("write_log_async", "event loop"),
        ("Mailer", "event loop"),
        ("send", "worker thread"),
        ("<lambda>", "worker thread"),
    ]


def test_a_task_that_adds_a_task() -> None:
    app = FastAPI()

    @app.get("/")
    def read_root(background_tasks: BackgroundTasks) -> None:
        def add_another() -> None:
            background_tasks.add_task(write_log)

        background_tasks.add_task(add_another)

    assert [task.name for task in one(app).tasks] == ["add_another", "write_log"]


def test_tasks_inside_a_task() -> None:
    """A list of tasks that a task runs itself has names of its own."""

    async def run_two() -> None:
        inner = BackgroundTasks()
        inner.add_task(write_log)
        inner.add_task(write_log_async)
        await inner()

    trace = one(app_with(run_two, fail, write_log))
    assert [task.name for task in trace.tasks] == [
        "run_two",
        "write_log",
        "write_log_async",
        "fail",
    ]
    assert trace.skipped == ("write_log",)


# Failures


def test_a_task_fails_and_those_after_it_do_not_run() -> None:
    trace = one(app_with(write_log, fail, write_log_async, write_log))
    assert trace.order == ("response", "write_log", "fail")
    assert [task.error for task in trace.tasks] == [None, "ValueError: no such address"]
    assert trace.skipped == ("write_log_async", "write_log")
    assert trace.error is None


def test_a_handler_does_not_hide_what_the_task_raised() -> None:
    """Starlette says "Caught handled exception, but response already started" then."""

    def find() -> None:
        raise HTTPException(404, "nobody of this name")

    trace = one(app_with(find, write_log))
    assert trace.status == 200
    assert trace.tasks[0].error == "HTTPException: 404: nobody of this name"
    assert trace.skipped == ("write_log",)


def test_an_endpoint_raises() -> None:
    app = FastAPI()

    @app.get("/")
    def read_root(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(write_log)
        raise KeyError

    @app.get("/refused")
    def refuse() -> None:
        raise HTTPException(403)

    raised, refused = told(app, "/", "/refused")
    assert (raised.status, raised.error, raised.tasks) == (500, "KeyError", ())
    assert "the app raised KeyError" in str(raised)
    assert (refused.status, refused.error) == (403, None)


def test_exit_code_that_raises_after_the_tasks() -> None:
    app = FastAPI()

    def session() -> Iterator[None]:
        yield
        raise RuntimeError("no commit")

    @app.get("/", dependencies=[Depends(session)])
    def read_root(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(write_log)

    trace = one(app)
    assert trace.order == FIRST
    assert trace.tasks[0].error is None
    assert trace.error == "RuntimeError: no commit"
    assert trace.sentence == "The client has its 200; then the app raised RuntimeError: no commit."


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_what_would_end_a_program_does_not_end_the_bench(raised: type[BaseException]) -> None:
    app = FastAPI()

    def leave() -> None:
        raise raised

    async def leave_async() -> None:
        raise raised

    @app.get("/endpoint")
    async def endpoint() -> None:
        raise raised

    @app.get("/task")
    def task(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(leave)

    @app.get("/async")
    def async_task(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(leave_async)

    @app.get("/created")
    async def created() -> None:
        app.state.created = asyncio.create_task(leave_async())

    @app.get("/")
    async def read_root() -> None: ...

    async def story(bench: Bench) -> None:
        for path in ("/endpoint", "/task", "/async", "/created"):
            await bench.get(path)
            trace = await bench.finished()
            errors = {trace.error, *(task.error for task in trace.tasks)} - {None}
            assert errors == (set() if path == "/created" else {raised.__name__})
            assert trace.status == (500 if path == "/endpoint" else 200)
            assert (await bench.get("/")).status_code == 200

    on_a_bench(app, story)


# Work that FastAPI gives no span


def test_the_responses_own_background() -> None:
    app = FastAPI()

    @app.get("/")
    def read_root() -> JSONResponse:
        return JSONResponse({}, background=BackgroundTask(write_log, "x"))

    @app.get("/fails")
    def failing() -> JSONResponse:
        return JSONResponse({}, background=BackgroundTask(fail))

    @app.get("/two")
    def two() -> JSONResponse:
        tasks = StarletteTasks()
        tasks.add_task(write_log)
        tasks.add_task(write_log_async)
        return JSONResponse({}, background=tasks)

    good, failed, several = told(app, "/", "/fails", "/two")
    assert good.order == FIRST
    assert failed.order == ("response", "fail")
    assert (failed.tasks[0].error, failed.error) == ("ValueError: no such address", None)
    assert several.order == ("response", "write_log, write_log_async")


def test_a_starlette_app() -> None:
    def answer(request: Request) -> JSONResponse:
        return JSONResponse({}, background=BackgroundTask(write_log))

    assert one(Starlette(routes=[Route("/", answer)])).order == FIRST


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/nothing":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/half":
        return
    await send({"type": "http.response.body", "body": b"hello"})
    with opentelemetry_trace.get_tracer("a learner").start_as_current_span("connect"):
        await asyncio.sleep(0.3)
    if scope["path"] == "/fails":
        raise ValueError("late")


def test_any_callable() -> None:
    good, failed, nothing = told(bare, "/", "/fails", "/nothing")
    assert good.order == ("response", AFTER_RESPONSE)
    assert [detail.name for detail in good.details] == ["connect"]
    assert failed.tasks[0].error == "ValueError: late"
    assert failed.error is None
    assert nothing.status == 500


def test_callables_of_other_kinds() -> None:
    class Wrapped:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await bare(scope, receive, send)

        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            await bare(scope, receive, send)

    for app in (Wrapped(), Wrapped().handle, functools.partial(bare)):
        assert one(app).order == ("response", AFTER_RESPONSE)


@pytest.mark.parametrize(
    "telemetry",
    [{"tracing": False}, {"operation_spans": False}, {"tracer_provider": TracerProvider()}],
    ids=["off", "no operations", "another provider"],
)
def test_fastapi_without_its_spans(telemetry: dict[str, Any]) -> None:
    trace = one(app_with(write_log, telemetry=telemetry))
    assert trace.order == FIRST
    assert (trace.status, trace.finished) == (200, True)
