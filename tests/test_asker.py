"""The other client: it goes on asking when a server stalls, and is its old self afterwards."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from course_app.lab import ChildProcess
from course_app.lab.asker import Asker
from course_app.lab.uvicorn_process import UvicornProcess
from tests.support.benches import becomes

APP = """
import time
from fastapi import FastAPI

app = FastAPI()

@app.get("/ping")
async def ping() -> bool:
    return True

@app.post("/stall")
async def stall(seconds: float) -> None:
    time.sleep(seconds)
"""


@contextmanager
def stalled(server: UvicornProcess, seconds: float) -> Iterator[None]:
    url = f"{server.url}/stall?seconds={seconds}"
    code = f"import httpx; httpx.post({url!r}, timeout=30, trust_env=False)"
    with ChildProcess([sys.executable, "-c", code], "the staller") as staller:
        assert becomes(lambda: is_stalled(server.url), seconds=10)
        yield
        staller.wait(30)


def is_stalled(url: str) -> bool:
    try:
        httpx.get(f"{url}/ping", timeout=0.3, trust_env=False)
    except httpx.TimeoutException:
        return True
    return False


def test_a_stall_is_measured_and_then_forgotten(tmp_path: Path) -> None:
    (tmp_path / "stalling.py").write_text(APP)
    options = ["--timeout-keep-alive", "1"]
    with (
        UvicornProcess("stalling:app", folder=tmp_path, options=options) as server,
        Asker(f"{server.url}/ping") as asker,
    ):
        assert 0 < asyncio.run(asker.median(0.5)) < 0.5
        for _ in range(2):
            with stalled(server, seconds=3):
                assert asyncio.run(asker.median(1)) > 1
            time.sleep(2)  # the server closes the connections that the stall has left idle
        assert 0 < asyncio.run(asker.median(0.5)) < 0.5
