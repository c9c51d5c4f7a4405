"""What the bench costs: against a bare server, and against the imports that any such lesson needs."""

import asyncio
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from course_app.lab import Lab

REQUESTS = 500
LIBRARIES = "import fastapi, httpx, uvicorn, ipywidgets, opentelemetry.sdk.trace"


def app() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def read_root() -> dict[str, str]:
        return {"message": "hello"}

    return app


@contextmanager
def bare_server(app: FastAPI) -> Iterator[str]:
    """The app on uvicorn in a thread, with nothing around it: its address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, loop="asyncio", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


async def timed(request: Callable[[str], Awaitable[httpx.Response]], times: list[float]) -> None:
    begun = time.perf_counter()
    response = await request("/")
    times.append(time.perf_counter() - begun)
    assert response.status_code == 200


def test_a_request_through_the_bench(record_property: Callable[[str, object], None]) -> None:
    through, bare = [], []

    async def story(lab: Lab, url: str) -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            for _ in range(20):  # warm up
                await timed(lab.get, [])
                await timed(client.get, [])
            for _ in range(REQUESTS // 10):  # in turns, so that both see the same machine
                for _ in range(10):
                    await timed(lab.get, through)
                for _ in range(10):
                    await timed(client.get, bare)

    lab = Lab(app())
    try:
        with bare_server(app()) as url:
            asyncio.run(story(lab, url))
    finally:
        lab.close()
    assert len(through) == len(bare) == REQUESTS
    ratio = statistics.median(through) / statistics.median(bare)
    slow = sum(seconds > 0.035 for seconds in through)
    said = (
        f"median {statistics.median(through) * 1000:.2f} ms against "
        f"{statistics.median(bare) * 1000:.2f} ms, ratio {ratio:.2f}, {slow} over 35 ms"
    )
    record_property("request", said)
    print(said)
    assert ratio < 2.0, said
    assert statistics.median(through) < 0.02, f"a delayed acknowledgement takes 0.04: {said}"
    assert slow < REQUESTS / 20, said


def seconds_of(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


def test_import(record_property: Callable[[str, object], None]) -> None:
    seconds_of(f"import course_app.lab; {LIBRARIES}")  # the files are in the cache now
    rounds = [
        (seconds_of("import course_app.lab; " + LIBRARIES), seconds_of(LIBRARIES)) for _ in range(4)
    ]
    lab, libraries = (min(column) for column in zip(*rounds, strict=True))
    said = f"{lab:.2f} s against {libraries:.2f} s, ratio {lab / libraries:.2f}"
    record_property("import", said)
    print(said)
    assert lab / libraries < 1.5, said
    assert seconds_of("import course_app.lab") / libraries < 1.5


@pytest.mark.parametrize(
    "module", ["fastapi.testclient", "jupyterlab", "nest_asyncio", "course_app.main"]
)
def test_what_the_bench_does_not_import(module: str) -> None:
    code = f"import sys, course_app.lab; assert {module!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
