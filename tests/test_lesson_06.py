"""Lesson 06: its facts, measured apart from it; falsified, they turn its notebook red."""

import asyncio
import shutil
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

from course_app.exercises import predict
from course_app.lab import Bench, ChildProcess, TaskRun, Trace, UvicornProcess
from tests.support.benches import becomes
from tests.support.brokers import free_port
from tests.support.mutants import Mutant, survivors

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "06_what_gets_lost.ipynb"

ROUNDS: list[dict[str, Mutant]] = [
    {
        "the late handler is early": (
            {
                "handled_app.add_exception_handler(ValueError, on_value_error)\n": "",
                "lab = Lab(handled_app)\n": "handled_app.exception_handlers[ValueError] = "
                "on_connection_error\nlab = Lab(handled_app)\n",
            },
            "lab = Lab(handled_app)",
        ),
        "a fifth attempt is made": ({"ATTEMPTS = 4": "ATTEMPTS = 5"}, "lab = Lab(patient_app)"),
        "the refusal is returned": (
            {'        raise HTTPException(404, "No such article")': '        return {"bought": 0}'},
            "traces = {}",
        ),
        "the response has no task of its own": (
            {"    own = BackgroundTask(write_receipt, number)": "    own = None"},
            'await lab.post("/buy/7")',
        ),
        "a row of the table is another case": (
            {'"it raises a 404": (raises_404': '"it raises a 404": (returns_404'},
            "lab = Lab(table_app)",
        ),
    },
    {
        "the order goes out on another connection": (
            {'await client.post(f"/email/{email}")': 'await lab.post(f"/email/{email}")'},
            "orders.clear()",
        ),
        "the task catches another error": (
            {
                "except Exception:\n        logger.ex": "except KeyError:\n        logger.ex",
            },
            "lab = Lab(safe_app)",
        ),
        "there is no handler for ConnectionError": (
            {"@handled_app.exception_handler(ConnectionError)\n": ""},
            "lab = Lab(handled_app)",
        ),
    },
    {
        "the second task does not raise": (
            {'    raise ConnectionError("the mail server is down")\n': ""},
            'response = await lab.post("/email/ada@example.com")',
        ),
    },
]


@pytest.mark.parametrize("mutants", ROUNDS, ids="; ".join)
def test_falsified_facts_turn_the_notebook_red(mutants: dict[str, Mutant]) -> None:
    assert survivors(NOTEBOOK, mutants) == []


SERVED = """
import asyncio, time
from fastapi import BackgroundTasks, FastAPI

app = FastAPI()
done = []

def fails(seconds: float) -> None:
    time.sleep(seconds)
    raise ConnectionError("the mail server is down")

@app.get("/fails")
def start(seconds: float, background_tasks: BackgroundTasks) -> int:
    background_tasks.add_task(fails, seconds)
    background_tasks.add_task(done.append, "behind")
    return 1

@app.get("/slow")
@app.post("/slow")
async def slow() -> int:
    await asyncio.sleep(3)
    done.append("slow")
    return 2

@app.get("/done")
async def read() -> list[str]:
    return done
"""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[UvicornProcess]:
    (tmp_path / "served.py").write_text(SERVED)
    with UvicornProcess("served:app", folder=tmp_path) as api:
        yield api


def test_a_real_server_closes_the_connection_logs_and_lives_on(url: UvicornProcess) -> None:
    with httpx.Client(base_url=url.url, trust_env=False) as client:
        assert client.get("/fails", params={"seconds": 0.5}).status_code == 200
        assert "Exception in ASGI application" not in url.log
        with pytest.raises(httpx.RemoteProtocolError, match="Server disconnected"):
            client.get("/slow")
        assert client.get("/done").json() == []
        deadline = time.monotonic() + 10
        while (done := client.get("/done").json()) == [] and time.monotonic() < deadline:
            time.sleep(0.1)
    assert done == ["slow"]
    assert url.log.count("ERROR:    Exception in ASGI application") == 1
    assert "ConnectionError: the mail server is down" in url.log


def test_a_request_that_was_answered_before_the_task_raised_is_well(url: UvicornProcess) -> None:
    with httpx.Client(base_url=url.url, trust_env=False) as client:
        client.get("/fails", params={"seconds": 1.5})
        assert client.get("/done").json() == []


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream app {{ server {app}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
        }}
    }}
}}
"""


@pytest.fixture
def proxy(url: UvicornProcess, tmp_path: Path) -> Iterator[str]:
    """The address of an nginx in front of the server, which keeps its connections to it open."""
    port, settings = free_port(), tmp_path / "nginx.conf"
    app = url.url.removeprefix("http://")
    settings.write_text(NGINX.format(folder=tmp_path, app=app, port=port))
    with ChildProcess(["nginx", "-e", "stderr", "-c", str(settings)], "nginx") as process:
        assert becomes(lambda: listens(port) or not process.running, 20), process.log
        yield f"http://127.0.0.1:{port}"


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_behind_a_proxy_it_is_somebody_else_whose_request_gets_no_answer(
    url: UvicornProcess, proxy: str
) -> None:
    fails = httpx.get(f"{proxy}/fails", params={"seconds": 1}, trust_env=False)
    slow = httpx.post(f"{proxy}/slow", trust_env=False)  # another client, another connection
    assert (fails.status_code, slow.status_code) == (200, 502)
    assert becomes(lambda: httpx.get(f"{proxy}/done", trust_env=False).json() == ["slow"], 10)


def played(app: FastAPI, play: Callable[[Bench], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        bench = Bench(app)
        try:
            return await play(bench)
        finally:
            bench.close()

    return asyncio.run(run())


def note() -> None:
    time.sleep(0.05)


def test_a_handler_s_own_response_runs_its_task_and_not_those_that_were_added() -> None:
    app = FastAPI()

    @app.get("/")
    def root(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(time.sleep, 0.05)
        raise HTTPException(418)

    @app.exception_handler(HTTPException)
    async def handle(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({}, error.status_code, background=BackgroundTask(note))

    async def play(bench: Bench) -> Trace:
        await bench.get("/")
        return await bench.finished()

    trace = played(app, play)
    assert (trace.status, [task.name for task in trace.tasks]) == (418, ["note"])


@pytest.mark.parametrize(("early", "status"), [(True, 418), (False, 500)])
def test_a_handler_is_called_only_if_it_is_there_when_the_server_starts(
    early: bool, status: int
) -> None:
    app = FastAPI()

    @app.get("/")
    def root() -> None:
        raise ValueError("no")

    async def handle(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({}, 418)

    async def play(bench: Bench) -> int:
        app.add_exception_handler(ValueError, handle)
        return (await bench.get("/")).status_code

    if early:
        app.add_exception_handler(ValueError, handle)
    assert played(app, play) == status


def test_a_task_may_be_a_background_task_or_several() -> None:
    app, ran = FastAPI(), []

    @app.get("/")
    def root(background_tasks: BackgroundTasks) -> JSONResponse:
        own = BackgroundTasks([BackgroundTask(ran.append, "own"), BackgroundTask(ran.append, 2)])
        response = JSONResponse({}, background=own)
        background_tasks.add_task(ran.append, "added")
        background_tasks.add_task(own)
        response.background = background_tasks
        return response

    async def play(bench: Bench) -> None:
        await bench.get("/")
        await bench.finished()

    played(app, play)
    assert ran == ["added", "own", 2]


def traced(*runs: TaskRun, status: int = 200) -> Trace:
    return Trace("POST", "/email/ada@example.com", status, 0.01, runs)


FAILED = TaskRun("write_notification", 0.4, 0.8, "ConnectionError: down")
DELIVERED = TaskRun("deliver_patiently", 0.01, 1.8)


@pytest.mark.parametrize(
    ("number", "seen", "outcome"),
    [
        ("06.p1", traced(TaskRun("write_log", 0.01, 0.4), FAILED), "skips"),
        ("06.p1", traced(FAILED, TaskRun("count_email", 0.8, 1.2)), "goes on"),
        ("06.p1", traced(status=500), "500"),
        ("06.p2", httpx.RemoteProtocolError("gone"), "nothing"),
        ("06.p2", httpx.Response(200), "answered"),
        ("06.p2", httpx.Response(500), "500"),
        ("06.p3", traced(DELIVERED, TaskRun("count_email", 1.8, 2.2)), "after"),
        ("06.p3", traced(DELIVERED, TaskRun("count_email", 0.2, 0.6)), "between"),
        ("06.p3", traced(DELIVERED), "never"),
        ("06.p4", traced(), "none"),
        ("06.p4", traced(DELIVERED), "one"),
        ("06.p5", traced(), "none"),
        ("06.p5", traced(DELIVERED, FAILED), "both"),
        ("06.p6", traced(TaskRun("write_receipt", 0.1, 0.4)), "receipt"),
        ("06.p6", traced(TaskRun("write_audit", 0.1, 0.4)), "audit"),
        ("06.p6", traced(DELIVERED, FAILED), "both"),
    ],
)
def test_a_prediction_is_scored_by_what_happened(number: str, seen: Any, outcome: str) -> None:
    choices = dict.fromkeys(["other", outcome], "")
    asked = predict(number, "?", {key: key for key in choices})
    asked.prediction = outcome
    assert predict.score(number, seen) == f"You predicted “{outcome}”, and so it was."
    asked.prediction = "other"
    assert predict.score(number, seen) == f"You predicted “other”. It was: “{outcome}”."


@pytest.mark.parametrize("number", [f"06.p{place}" for place in range(1, 7)])
def test_a_prediction_about_nothing_gets_a_sentence(number: str) -> None:
    predict(number, "?", {"a": "b"}).prediction = "a"
    assert "This cannot be scored" in predict.score(number, None)
