"""Exercise 07.2: a report that is never there by halves, judged on real servers."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from course_app.exercises.checking import Wrong, exercise
from course_app.lab import ChildProcess
from course_app.lab.child_process import remove_folder, temporary_folder
from course_app.lab.uvicorn_process import ADDRESS

MODULE = "report_app"
REPORT = "report.csv"
YESTERDAY = "yesterday's report\n"
TODAY = "".join(f"row {number}\n" for number in range(1, 21))
POSIX = hasattr(signal, "SIGKILL")
"""Elsewhere SIGTERM ends a process at once, and there is no shutdown to look at."""
NO_SIGNALS = "This system has no POSIX signals, so no shutdown was tried."


@exercise("07.2", limit=9.0)
async def no_half_reports(answer: Any) -> list[str]:
    """The path of an app whose POST /report replaces report.csv in one step, or not at all."""
    if not isinstance(answer, str | Path):
        raise Wrong(
            "The check needs the path of the app's file, report_app as it stands above, and got "
            f"{answer!r:.60}."
        )
    path = Path(answer)
    try:
        code = path.read_bytes()
    except (OSError, ValueError):
        raise Wrong(f"There is no file {str(path)!r:.60}. Run the cell that writes it.") from None
    runs = [undisturbed, cut_short] if POSIX else [undisturbed]
    results = await asyncio.gather(*(run(code) for run in runs), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [
        "Whoever looked found yesterday's report or today's, whole, and SIGTERM waited for it."
        if POSIX
        else f"Whoever looked found yesterday's report or today's, whole. {NO_SIGNALS}",
        *["Cut short, it left yesterday's as it was, and nothing else."] * POSIX,
    ]


async def undisturbed(code: bytes) -> None:
    """Look at the report again and again while it is written, also while the server shuts down."""
    async with served(code, None) as (server, folder):
        await ask_for_report(server)
        report = folder / REPORT
        if content(report) == TODAY:
            raise Wrong(
                f"When POST /report was answered, {REPORT} was complete already. Leave it to a "
                "background task, and let the rows take their time."
            )
        if POSIX:
            server.send(signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + 5
        while server.running if POSIX else content(report) != TODAY:
            must_be_whole(report, "Somebody looked, and")
            if asyncio.get_running_loop().time() > deadline:
                raise Wrong("5 seconds after POST /report the task had not ended.")
            await asyncio.sleep(0.02)
        must_be_whole(report, "Somebody looked, and")
        if content(report) == YESTERDAY:
            raise Wrong(
                f"When the server had ended after SIGTERM, {REPORT} was still yesterday's. It "
                f"waits for background tasks that do not fail.{await last_error(server)}"
            )
        must_be_alone(folder, "When today's report was there,")


async def cut_short(code: bytes) -> None:
    """Cancel the task in the middle of its rows."""
    async with served(code, 1) as (server, folder):
        await ask_for_report(server)
        server.send(signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + 4
        while server.running:
            if asyncio.get_running_loop().time() > deadline:
                raise Wrong(
                    "4 seconds after SIGTERM, with a time limit of 1 second, the server had not "
                    "ended. A cancelled task should be quick, and pass CancelledError on."
                )
            await asyncio.sleep(0.02)
        must_be_whole(folder / REPORT, "When the task had been cancelled,")
        must_be_alone(folder, "When the task had been cancelled,")


@asynccontextmanager
async def served(code: bytes, graceful: int | None) -> AsyncIterator[tuple[ChildProcess, Path]]:
    """A server for the app in a folder of its own, with yesterday's report in it."""
    folder = temporary_folder("no-half-reports-")
    server: ChildProcess | None = None
    try:
        (folder / f"{MODULE}.py").write_bytes(code)
        (folder / REPORT).write_text(YESTERDAY)
        command = [sys.executable, "-m", "uvicorn", f"{MODULE}:app", "--host", "127.0.0.1"]
        command += ["--port", "0", "--loop", "asyncio", "--no-access-log"]
        if graceful is not None:
            command += ["--timeout-graceful-shutdown", str(graceful)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        # Not UvicornProcess, whose constructor waits: two servers start at the same time.
        server = ChildProcess(command, "the server", env=environment, folder=folder)
        while not (ADDRESS.search(server.log) and "startup complete" in server.log):
            if not server.running:
                await asyncio.sleep(0.2)  # for the end of its log
                said = f" It said: {server.log.split(chr(10))[-2]:.200}" if server.log else ""
                raise Wrong(f"The app did not start.{said}")
            await asyncio.sleep(0.02)
        yield server, folder
    finally:
        if server is not None:
            server.stop(grace=0)
        remove_folder(folder)


async def ask_for_report(server: ChildProcess) -> None:
    found = ADDRESS.search(server.log)
    url = found[1] if found else ""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=4) as client:
        try:
            response = await client.post("/report")
        except httpx.HTTPError as error:
            raise Wrong(f"POST /report got no answer: {type(error).__name__}.") from None
    if not response.is_success:
        raise Wrong(
            f"POST /report was answered with {response.status_code}.{await last_error(server)}"
        )


def content(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(errors="replace").replace("\r\n", "\n")
    except OSError:
        return None


def must_be_whole(report: Path, when: str) -> None:
    found = content(report)
    if found in (YESTERDAY, TODAY):
        return
    if found is None:
        raise Wrong(f"{when} {REPORT} was gone. Yesterday's should stay until today's is whole.")
    rows = len(found.splitlines())
    size = "empty" if not found else f"{rows} line{'s' * (rows != 1)} long"
    raise Wrong(f"{when} {REPORT} was {size}: neither yesterday's report nor today's 20 rows.")


def must_be_alone(folder: Path, when: str) -> None:
    others = {path.name for path in folder.iterdir()} - {REPORT, f"{MODULE}.py", "__pycache__"}
    if others:
        raise Wrong(
            f"{when} there was another file beside {REPORT}: {', '.join(sorted(others))}. "
            "Who removes it?"
        )


async def last_error(server: ChildProcess) -> str:
    """The last line of the server's log that names an exception, as a sentence, or nothing."""
    for _ in range(20):  # the log comes by a thread of its own
        lines = [line.strip() for line in server.log.splitlines()]
        errors = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception"))]
        if errors:
            return f" It said: {errors[-1]:.200}"
        await asyncio.sleep(0.05)
    return ""
