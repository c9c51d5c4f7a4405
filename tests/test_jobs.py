"""The app's jobs: what is refused, what is told, and that none runs on once its task is gone."""

import asyncio
import io
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI

from course_app import jobs
from course_app.job_store import STOPPED, Job, JobStore
from course_app.lab import Bench, UvicornProcess
from course_app.main import app
from tests.support.benches import becomes, on_a_bench

LONG = "a line of words\n" * 60
"""A text that takes 12 seconds."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / jobs.FOLDER


@pytest.fixture
def store(folder: Path) -> Iterator[JobStore]:
    opened = JobStore(folder)
    yield opened
    opened.close()


def upload(content: bytes | str, kind: str = "text/plain") -> dict[str, Any]:
    return {"file": ("notes.txt", content, kind)}


def left(folder: Path) -> list[str]:
    """The files below the store's folder, apart from its database."""
    return sorted(path.suffix for path in folder.iterdir() if path.name != "jobs.sqlite3")


# The store


def test_a_job_goes_from_queued_to_done(store: JobStore) -> None:
    assert store.read("a") is None
    assert store.add("a") == store.read("a") == Job("queued", 0)
    store.report("a", 40)
    assert store.read("a") == Job("running", 40)
    store.finish("a", {"words": 3})
    assert store.read("a") == Job("done", 100, {"words": 3})


@pytest.mark.parametrize("end", ["finish", "fail"])
def test_what_has_ended_stays_as_it_is(store: JobStore, end: str) -> None:
    store.add("a")
    store.finish("a", {"words": 3}) if end == "finish" else store.fail("a", "no")
    ended = store.read("a")
    store.report("a", 50)
    store.fail("a", "late")
    store.finish("a", {"words": 4})
    assert store.read("a") == ended


def test_an_id_is_used_once(store: JobStore) -> None:
    store.add("a")
    with pytest.raises(sqlite3.IntegrityError):
        store.add("a")


def test_many_threads_may_use_it(store: JobStore) -> None:
    def work(name: str) -> None:
        for number in range(10):
            store.add(f"{name}{number}")
            store.report(f"{name}{number}", 50)
            store.finish(f"{name}{number}", {"by": name})

    threads = [threading.Thread(target=work, args=[name]) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "abcdefgh":
        for number in range(10):
            assert store.read(f"{name}{number}") == Job("done", 100, {"by": name})


WORKER = """
import sys, time
from pathlib import Path
from course_app.job_store import JobStore
store = JobStore(Path(sys.argv[1]))
name, end = sys.argv[2:]
for number in range(20):
    store.add(f"{name}{number}")
    store.report(f"{name}{number}", 50)
    if number:
        store.finish(f"{name}{number}", {"by": name})
store.upload_of(f"{name}0").write_text("text")
print("ready", flush=True)
if end == "stay":
    time.sleep(60)
if end == "close":
    store.close()
"""


def worker(folder: Path, name: str, end: str) -> "subprocess.Popen[str]":
    """A process with a store that has done 19 jobs, and not the one whose number is 0."""
    command = [sys.executable, "-c", WORKER, str(folder), name, end]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_many_processes_may_use_it(folder: Path, store: JobStore) -> None:
    workers = [worker(folder, name, "close") for name in "abc"]
    for process in workers:
        process.communicate(timeout=30)
        assert process.returncode == 0
    for name in "abc":
        assert store.read(f"{name}0") == Job("failed", reason=STOPPED)
        for number in range(1, 20):
            assert store.read(f"{name}{number}") == Job("done", 100, {"by": name})


@pytest.mark.parametrize("asked", ["by a poll", "at a start"])
def test_only_the_jobs_of_a_process_that_is_gone_fail(folder: Path, asked: str) -> None:
    with worker(folder, "a", "stay") as dead, worker(folder, "b", "stay") as alive:
        try:
            for process in (dead, alive):
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            store = JobStore(folder)
            assert store.read("a0") == store.read("b0") == Job("running", 50)
            dead.kill()
            dead.wait(10)
            if asked == "at a start":
                JobStore(folder).close()
                states = states_in(folder)
                assert (states["a0"], states["b0"]) == ("failed", "running")
            assert store.read("a0") == Job("failed", reason=STOPPED)
            assert store.read("a1") == Job("done", 100, {"by": "a"})
            assert store.read("b0") == Job("running", 50)
            assert store.read("b1") == Job("done", 100, {"by": "b"})
            assert left(folder) == [".lives", ".lives", ".upload"]
            store.close()
            assert left(folder) == [".lives", ".upload"]
        finally:
            dead.kill()
            alive.kill()
    JobStore(folder).close()
    assert left(folder) == []


def states_in(folder: Path) -> dict[str, str]:
    """What stands in the database itself."""
    database = sqlite3.connect(folder / "jobs.sqlite3")
    try:
        return dict(database.execute("SELECT id, state FROM jobs").fetchall())
    finally:
        database.close()


def test_two_stores_of_one_process_let_each_other_live(folder: Path, store: JobStore) -> None:
    other = JobStore(folder)
    store.add("a")
    other.add("b")
    JobStore(folder).close()
    assert (store.read("b"), other.read("a")) == (Job("queued", 0), Job("queued", 0))
    other.close()
    other.close()
    assert store.read("b") == Job("failed", reason=STOPPED)
    assert store.read("a") == Job("queued", 0)


def test_a_job_that_comes_after_the_end_does_not_stay_queued(folder: Path, store: JobStore) -> None:
    other = JobStore(folder)
    other.close()
    other.add("late")
    assert store.read("late") == other.read("late") == Job("failed", reason=STOPPED)


# The app: what is refused

REFUSED = {
    "empty": (upload(b""), 400, "The file is empty."),
    "a byte too many": (
        upload(b"x" * (jobs.LIMIT + 1)),
        413,
        "The file has more than 1,000,000 bytes.",
    ),
    "a picture": (
        upload(b"x", "image/png"),
        415,
        "Send a text file (text/plain), not image/png.",
    ),
    "no type": (upload(b"x", ""), 415, "Send a text file (text/plain), not a file without a type."),
}


@pytest.mark.parametrize(("files", "status", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_refused_and_leaves_nothing(
    folder: Path, files: dict[str, Any], status: int, words: str
) -> None:
    async def story(bench: Bench) -> None:
        response = await bench.post("/files", files=files)
        assert (response.status_code, response.json()) == (status, {"detail": words})
        assert (await bench.finished()).tasks == ()
        assert left(folder) == [".lives"]
        assert states_in(folder) == {}

    on_a_bench(app, story)
    assert left(folder) == []


def test_without_a_file_it_is_a_422() -> None:
    async def story(bench: Bench) -> int:
        return (await bench.post("/files")).status_code

    assert on_a_bench(app, story) == 422


def test_an_unknown_job_is_a_404() -> None:
    async def story(bench: Bench) -> None:
        response = await bench.get("/jobs/unknown")
        assert (response.status_code, response.json()) == (
            404,
            {"detail": "There is no such job."},
        )

    on_a_bench(app, story)


@pytest.mark.parametrize("kind", ["text/plain", "text/plain; charset=utf-8", "Text/Plain"])
def test_a_file_of_the_largest_size_is_accepted(kind: str) -> None:
    async def story(bench: Bench) -> None:
        response = await bench.post("/files", files=upload(b"x" * jobs.LIMIT, kind))
        assert response.status_code == 202
        assert response.headers["retry-after"] == "1"
        await bench.finished()
        job = (await bench.get(response.headers["location"])).json()
        assert job == {"state": "done", "progress": 100, "result": {"words": 1}}

    on_a_bench(app, story)


class Endless(io.RawIOBase):
    """A file without an end, which counts what is read of it."""

    taken = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "all of it at once"
        self.taken += size
        return b"x" * size


def test_no_more_is_read_of_a_large_file_than_shows_that_it_is_too_large(tmp_path: Path) -> None:
    endless = Endless()
    with pytest.raises(jobs.HTTPException):
        jobs.keep(endless, tmp_path / "copy")  # type: ignore[arg-type]
    assert endless.taken <= jobs.LIMIT + jobs.PIECE
    assert (tmp_path / "copy").stat().st_size <= jobs.LIMIT


# The app: a job never runs on without its task


async def ended(bench: Bench, content: bytes | str = "a b\nc") -> dict[str, Any]:
    """The job of a file, once the request's tasks have ended."""
    response = await bench.post("/files", files=upload(content))
    assert response.json() == {"state": "queued", "progress": 0}
    await bench.finished()
    return dict((await bench.get(response.headers["location"])).json())


def test_progress_is_told_while_it_runs(folder: Path) -> None:
    async def story(bench: Bench) -> list[dict[str, Any]]:
        response = await bench.post("/files", files=upload("a b\n" * 6))
        polls: list[dict[str, Any]] = []
        deadline = time.monotonic() + 20
        while not polls or polls[-1]["state"] in ("queued", "running"):
            assert time.monotonic() < deadline
            polls.append((await bench.get(response.headers["location"])).json())
            await asyncio.sleep(0.02)
        return polls

    polls = on_a_bench(app, story)
    running = [poll["progress"] for poll in polls if poll["state"] == "running"]
    assert len(set(running)) >= 3
    assert running == sorted(running)
    assert polls[-1] == {"state": "done", "progress": 100, "result": {"words": 12}}
    assert left(folder) == []


def test_a_file_that_is_no_text_fails_with_its_line() -> None:
    job = on_a_bench(app, lambda bench: ended(bench, b"a\nb\xe9\n"))
    assert job == {"state": "failed", "reason": "Line 2 is not UTF-8."}


def test_a_job_whose_file_is_gone_fails_with_that_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_words = jobs.count_words

    def count_too_late(store: JobStore, job_id: str, path: Path) -> None:
        path.unlink()
        count_words(store, job_id, path)

    monkeypatch.setattr(jobs, "count_words", count_too_late)
    job = on_a_bench(app, ended)
    assert job == {"state": "failed", "reason": "The uploaded file is gone."}


class Dies(BaseException):
    """What no `except Exception` catches."""


@pytest.mark.parametrize("error", [Dies(), asyncio.CancelledError()], ids=repr)
def test_a_job_whose_task_dies_of_anything_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def die(seconds: float) -> None:
        raise error

    monkeypatch.setattr(jobs, "time", SimpleNamespace(sleep=die))
    assert on_a_bench(app, ended) == {"state": "failed", "reason": jobs.DIED}
    assert left(folder) == []


def test_an_unforeseen_exception_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(seconds: float) -> None:
        raise MemoryError

    monkeypatch.setattr(jobs, "time", SimpleNamespace(sleep=full))
    assert on_a_bench(app, ended) == {"state": "failed", "reason": "MemoryError in line 1"}


def test_a_job_whose_task_never_starts_fails() -> None:
    """A task before it raises, and the rest of the list is not run."""

    def fail() -> None:
        raise ValueError("first")

    def add_first(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(fail)

    other = FastAPI()
    other.include_router(jobs.router, dependencies=[Depends(add_first)])
    assert on_a_bench(other, ended) == {"state": "failed", "reason": jobs.DIED}


def begin(api: UvicornProcess) -> str:
    """Send the long file, and wait until the work has begun; the job's path."""
    accepted = httpx.post(f"{api.url}/files", files=upload(LONG), trust_env=False)
    job = accepted.headers["location"]
    assert becomes(lambda: asked(api, job)["state"] == "running")
    return str(job)


def asked(api: UvicornProcess, job: str) -> dict[str, Any]:
    return dict(httpx.get(f"{api.url}{job}", trust_env=False).json())


def served(folder: Path, graceful: int | None = None) -> UvicornProcess:
    return UvicornProcess("course_app.main:app", folder=folder.parent.parent, graceful=graceful)


def test_after_sigkill_the_jobs_fail_at_the_next_start(folder: Path) -> None:
    with served(folder) as api:
        job = begin(api)
        api.kill()
        api.wait(10)
    assert list(states_in(folder).values()) == ["running"]
    with served(folder) as api:
        assert list(states_in(folder).values()) == ["failed"]
        assert asked(api, job) == {"state": "failed", "reason": STOPPED}
        assert left(folder) == [".lives"]


def test_a_second_server_leaves_the_jobs_of_the_first_alone(folder: Path) -> None:
    with served(folder) as first, served(folder) as second:
        job = begin(first)
        with served(folder):
            assert asked(second, job)["state"] == "running"
        assert asked(first, job)["state"] == "running"
        first.kill()
        first.wait(10)
        assert asked(second, job) == {"state": "failed", "reason": STOPPED}


def test_a_graceful_end_that_takes_too_long_fails_the_job(folder: Path) -> None:
    with served(folder, graceful=1) as api:
        job = begin(api)
        api.send(signal.SIGTERM)
        api.wait(15)
    assert states_in(folder)[job.rpartition("/")[2]] == "failed"
    assert left(folder) == []


def test_a_graceful_end_without_a_limit_waits_for_the_job(folder: Path) -> None:
    with served(folder) as api:
        accepted = httpx.post(f"{api.url}/files", files=upload("a b\n" * 4), trust_env=False)
        api.send(signal.SIGTERM)
        api.wait(15)
    assert states_in(folder) == {accepted.headers["location"].rpartition("/")[2]: "done"}
    assert left(folder) == []
