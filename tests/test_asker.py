"""The other client: it goes on asking when a server stalls, and is its old self afterwards."""

import asyncio
import sys
import time
from pathlib import Path

from course_app.lab.asker import Asker
from course_app.lab.uvicorn_process import UvicornProcess

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


def test_a_stall_is_measured_and_then_forgotten(tmp_path: Path) -> None:
    (tmp_path / "stalling.py").write_text(APP)
    options = ["--timeout-keep-alive", "1"]
    with (
        UvicornProcess("stalling:app", folder=tmp_path, options=options) as server,
        Asker(f"{server.url}/ping") as asker,
    ):
        assert 0 < asyncio.run(asker.median(0.5)) < 0.5
        code = (
            f"import httpx; httpx.post('{server.url}/stall?seconds=4', timeout=20, trust_env=False)"
        )
        from course_app.lab import ChildProcess

        with ChildProcess([sys.executable, "-c", code], "the staller") as staller:
            time.sleep(1)
            assert asyncio.run(asker.median(1.5)) > 1
            staller.wait(20)
        time.sleep(2)  # the connections of the stall are closed by the server meanwhile
        assert 0 < asyncio.run(asker.median(0.5)) < 0.5
