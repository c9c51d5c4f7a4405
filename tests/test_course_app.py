"""The course's app: what the lessons build, and what `uvicorn course_app.main:app` serves."""

import asyncio
import copy
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI

from course_app import tasks
from course_app.dependencies import get_query
from course_app.lab import Bench, Trace
from course_app.main import app
from tests.support.lesson_code import definitions

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
LESSON_01 = NOTEBOOKS / "01_plain_function.ipynb"
LESSON_03 = NOTEBOOKS / "03_dependency_injected.ipynb"
LESSON_05 = NOTEBOOKS / "05_accepted.ipynb"
BUILT = [
    (LESSON_01, "app", "post", "/email/{email}"),
    (LESSON_01, "sent_app", "get", "/sent"),
    (LESSON_03, "app", "post", "/email_depends/{email}"),
    (LESSON_05, "app", "post", "/files"),
    (LESSON_05, "app", "get", "/jobs/{job_id}"),
]
"""Each path operation of the course's app, with the lesson and the app that it was built in."""


pytestmark = pytest.mark.usefixtures("own_folder")


def described(of: FastAPI, method: str, path: str) -> dict[str, Any]:
    """What OpenAPI says of a path operation, except for the words of its docstring, and for the
    schema of a job, which is a dictionary in the lesson and a class in the app.
    """
    found = copy.deepcopy(of.openapi()["paths"][path][method])
    found.pop("description", None)
    for response in found["responses"].values():
        if path in ("/files", "/jobs/{job_id}"):
            response["content"]["application/json"].pop("schema")
    return found


@pytest.mark.parametrize(
    ("lesson", "name", "method", "path"), BUILT, ids=[f"{m} {p}" for _, _, m, p in BUILT]
)
def test_a_lesson_and_the_app_describe_the_same(
    lesson: Path, name: str, method: str, path: str
) -> None:
    built = definitions(lesson)[name]
    assert described(app, method, path) == described(built, method, path)


def test_the_lessons_build_every_path_of_these_lessons() -> None:
    """A path that a lesson's main app has and the course's app has not would be forgotten."""
    for lesson in (LESSON_01, LESSON_03, LESSON_05):
        assert set(definitions(lesson)["app"].openapi()["paths"]) <= set(app.openapi()["paths"])


async def run(of: FastAPI, path: str) -> tuple[int, Trace]:
    bench = Bench(of)
    try:
        response = await bench.post(path)
        return response.status_code, await bench.finished()
    finally:
        bench.close()


@pytest.mark.parametrize(
    ("lesson", "path", "order", "file"),
    [
        (LESSON_01, "/email/ada@example.com?message=hi", ["write_notification"], "notifications"),
        (LESSON_03, "/email_depends/ada@example.com?q=tea", ["write_log", "write_log"], "log"),
        (LESSON_03, "/email_depends/ada@example.com", ["write_log"], "log"),
    ],
    ids=["email", "email_depends with q", "email_depends without q"],
)
def test_a_lesson_and_the_app_do_the_same(
    own_folder: Path, lesson: Path, path: str, order: list[str], file: str
) -> None:
    done = []
    for served in (definitions(lesson)["app"], app):
        written = own_folder / "outbox" / f"{file}.txt"
        written.unlink(missing_ok=True)
        status, trace = asyncio.run(run(served, path))
        done.append((status, trace.order, written.read_text()))
    assert done[0] == done[1]
    assert done[1][:2] == (200, ("response", *order))


@pytest.mark.parametrize("content", [b"the rain\nfalls", b"the rain\nfalls on a caf\xe9"])
def test_a_file_comes_to_the_same_in_the_lesson_and_in_the_app(content: bytes) -> None:
    async def ask(of: FastAPI) -> list[Any]:
        bench = Bench(of)
        try:
            files = {"file": ("rain.txt", content, "text/plain")}
            accepted = await bench.post("/files", files=files)
            order = (await bench.finished()).order
            headers = [accepted.headers["location"][:6], accepted.headers["retry-after"]]
            ended = await bench.get(accepted.headers["location"])
            unknown = await bench.get("/jobs/unknown")
            jobs = [(r.status_code, r.json()) for r in (accepted, ended, unknown)]
            return [order, headers, jobs]
        finally:
            bench.close()

    built, kept = (asyncio.run(ask(of)) for of in (definitions(LESSON_05)["app"], app))
    assert built == kept
    assert kept[0] == ("response", "count_words")
    assert [status for status, _ in kept[2]] == [202, 200, 404]


def test_the_tasks_of_a_request_write_in_the_order_in_which_they_were_added() -> None:
    asyncio.run(run(app, "/email_depends/ada@example.com?q=tea"))
    assert Path("outbox/log.txt").read_text() == "found query: tea\nmessage to ada@example.com\n"


@pytest.mark.parametrize("q", [None, ""])
def test_without_a_query_the_dependency_adds_nothing(q: str | None) -> None:
    background_tasks = BackgroundTasks()
    assert get_query(background_tasks, q) == q
    assert background_tasks.tasks == []


def test_the_query_reaches_the_path_operation() -> None:
    async def ask() -> list[Any]:
        bench = Bench(app)
        try:
            paths = ["/email_depends/ada@example.com?q=tea", "/email_depends/ada@example.com"]
            return [(await bench.post(path)).json()["query"] for path in paths]
        finally:
            bench.close()

    assert asyncio.run(ask()) == ["tea", None]


def test_log_lines_are_appended() -> None:
    tasks.write_log("one")
    tasks.write_log("two")
    assert Path("outbox/log.txt").read_text() == "one\ntwo\n"


@contextmanager
def served(folder: Path) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """`uvicorn course_app.main:app` in a process of its own, on a port that is free."""
    command = [sys.executable, "-m", "uvicorn", "course_app.main:app", "--port", "0"]
    with (folder / "uvicorn.log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, text=True)
    try:
        with httpx.Client(base_url=address(server, folder), trust_env=False) as client:
            yield client, server
    finally:
        if server.poll() is None:
            server.kill()
        server.wait(10)


def address(server: subprocess.Popen[str], folder: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        if found := re.search(r"running on (http://\S+)", (folder / "uvicorn.log").read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError((folder / "uvicorn.log").read_text())


def test_uvicorn_serves_it_and_waits_for_the_tasks_when_it_is_stopped(own_folder: Path) -> None:
    with served(own_folder) as (client, server):
        begun = time.monotonic()
        answer = client.post("/email/ada@example.com", params={"message": "hello"})
        assert (answer.status_code, answer.json()) == (
            200,
            {"message": "A notification to ada@example.com is on its way."},
        )
        assert time.monotonic() - begun < 2, "the response waited for the notification"
        notifications = own_folder / "outbox" / "notifications.txt"
        assert not notifications.exists()
        assert client.get("/sent").json() == []

        answer = client.post("/email_depends/grace@example.com", params={"q": "tea"})
        assert answer.json()["query"] == "tea"
        deadline = time.monotonic() + 10
        while client.get("/sent").json() != ["ada@example.com"]:
            assert time.monotonic() < deadline, "the notification was never sent"
            time.sleep(0.1)
        assert notifications.read_text() == "notification for ada@example.com: hello\n"

        client.post("/email/hedy@example.com")
        server.send_signal(signal.SIGTERM)
        server.wait(10)
    assert "notification for hedy@example.com" in notifications.read_text()
    log = (own_folder / "outbox" / "log.txt").read_text()
    assert log == "found query: tea\nmessage to grace@example.com\n"
