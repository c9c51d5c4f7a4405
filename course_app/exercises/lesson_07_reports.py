"""Exercise 07.2: a report that is never there by halves, judged on a real server."""

import asyncio
import os
import signal
import sys
import time
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
START = 8.0
"""Seconds the server may take to start: 1 as a rule, more on a busy machine. From then on every
wait has a limit of its own."""
SKIPPED = "This system has no POSIX signals, so no shutdown was tried."
WAITED = "Waiting for background tasks"
"""What uvicorn logs when it is told to end while it knows of work."""


@exercise("07.2", limit=START + 10)
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
    async with served(code) as (server, folder):
        await undisturbed(server, folder)
        if POSIX:
            await cut_short(server, folder)
    whole = "Whoever looked found yesterday's report or today's, whole."
    return [whole, "Cut short, it left yesterday's as it was, and nothing else." * POSIX or SKIPPED]


async def undisturbed(server: ChildProcess, folder: Path) -> None:
    """Look at the report again and again while it is written."""
    report = folder / REPORT
    await ask_for_report(server, report)
    if content(report) == TODAY:
        raise Wrong(
            f"When POST /report was answered, {REPORT} was complete already. Leave it to a "
            "background task, and let the rows take their time."
        )
    before = file_number(report)
    deadline = time.monotonic() + 4
    while content(report) != TODAY:
        must_be_whole(report, "Somebody looked, and")
        if time.monotonic() > deadline:
            raise Wrong(
                f"4 seconds after POST /report {REPORT} was still yesterday's."
                f"{await last_error(server)}"
            )
        await asyncio.sleep(0.02)
    while others(folder) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    must_be_alone(folder, "When today's report was there,")
    if before is not None and file_number(report) == before:
        raise Wrong(
            f"{REPORT} was written over where it stands: for a moment it is empty or cut off, and "
            "somebody may look just then. Write another file, and let that one take its place in "
            "a single step."
        )


async def cut_short(server: ChildProcess, folder: Path) -> None:
    """Tell the server to end in the middle of the rows, which it does after a second."""
    report = folder / REPORT
    await ask_for_report(server, report)
    server.send(signal.SIGTERM)
    deadline = time.monotonic() + 3
    while server.running:
        if time.monotonic() > deadline:
            raise Wrong(
                "3 seconds after SIGTERM, with a time limit of 1 second, the server had not ended. "
                "A cancelled task should be quick, and pass CancelledError on."
            )
        await asyncio.sleep(0.02)
    must_be_whole(report, "When the server had been told to end,")
    for _ in range(20):  # the log comes by a thread of its own
        if WAITED in server.log:
            break
        await asyncio.sleep(0.05)
    else:
        raise Wrong(
            "Told to end, the server did not wait: the report is written by work that it does not "
            "know of. Use background_tasks.add_task."
        )
    must_be_alone(folder, "When the task had been cancelled,")


@asynccontextmanager
async def served(code: bytes) -> AsyncIterator[tuple[ChildProcess, Path]]:
    """A server for the app, in a folder of its own, with a second to end in."""
    folder = temporary_folder("no-half-reports-")
    server: ChildProcess | None = None
    try:
        (folder / f"{MODULE}.py").write_bytes(code)
        command = [sys.executable, "-m", "uvicorn", f"{MODULE}:app", "--host", "127.0.0.1"]
        command += ["--port", "0", "--loop", "asyncio", "--timeout-graceful-shutdown", "1"]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        # Not UvicornProcess, whose constructor waits: the check must be stopped in time.
        server = ChildProcess(command, "the server", env=environment, folder=folder)
        deadline = time.monotonic() + START
        while not (ADDRESS.search(server.log) and "startup complete" in server.log):
            if not server.running:
                await asyncio.sleep(0.2)  # for the end of its log
                said = f" It said: {server.log.split(chr(10))[-2]:.200}" if server.log else ""
                raise Wrong(f"The app did not start.{said}")
            if time.monotonic() > deadline:
                raise Wrong(f"The app had not started after {START:g} seconds.")
            await asyncio.sleep(0.02)
        yield server, folder
    finally:
        if server is not None:
            server.stop(grace=0)
        remove_folder(folder)


async def ask_for_report(server: ChildProcess, report: Path) -> None:
    """Ask for today's report, where yesterday's stands."""
    report.write_text(YESTERDAY)
    found = ADDRESS.search(server.log)
    url = found[1] if found else ""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=3) as client:
        try:
            response = await client.post("/report")
        except httpx.HTTPError as error:
            raise Wrong(f"POST /report got no answer: {type(error).__name__}.") from None
    if not response.is_success:
        raise Wrong(
            f"POST /report was answered with {response.status_code}.{await last_error(server)}"
        )


def file_number(path: Path) -> int | None:
    """What tells a file from the one that replaces it, as long as both are there (POSIX)."""
    try:
        return path.stat().st_ino if POSIX else None
    except OSError:
        return None


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


def others(folder: Path) -> list[str]:
    """The names of the files beside the report."""
    known = {REPORT, f"{MODULE}.py", "__pycache__"}
    return sorted({path.name for path in folder.iterdir()} - known)


def must_be_alone(folder: Path, when: str) -> None:
    if found := others(folder):
        raise Wrong(
            f"{when} there was another file beside {REPORT}: {', '.join(found)}. Who removes it?"
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
