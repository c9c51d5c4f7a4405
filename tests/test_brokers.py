"""Lesson 09 on the brokers of the operating system's packages, and what the API says without one.

The lesson's stored outputs hold its crash table. nbval compares them with a fresh run, so a
notebook that passes with a broker has measured the same table with it.
"""

import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import httpx
import nbformat
import pytest

from course_app.lab import ChildProcess, UvicornProcess
from course_app.lab import broker as lab_broker
from tests.support import brokers
from tests.support.benches import ROOT

NOTEBOOKS = ["notebooks/09_outgrowing.ipynb", "notebooks/solutions/09_outgrowing.ipynb"]
LIMIT = 240
"""Seconds after which it has hung: alone it takes under 90, but other tests run beside it."""


@pytest.mark.parametrize(
    ("kind", "notebook"), list(zip(brokers.KINDS, NOTEBOOKS, strict=True)), ids=brokers.KINDS
)
def test_the_lesson_shows_the_same_with_another_broker(
    kind: str, notebook: str, tmp_path: Path
) -> None:
    start, missing = brokers.KINDS[kind]
    if missing():
        pytest.skip(missing())
    copy = tmp_path / Path(notebook).name
    copy.write_bytes((ROOT / notebook).read_bytes())
    settings = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    options = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "-n", "0"]
    with start() as broker:
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", str(copy)],
            cwd=tmp_path,
            env={**settings, "COURSE_BROKER": broker.url},
            capture_output=True,
            text=True,
            timeout=LIMIT + 30,
        )
        seconds = time.monotonic() - begun
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    print(f"{notebook} with {kind}: {seconds:.0f} s")
    assert seconds < LIMIT


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=["learner", "solved"])
def test_the_crash_table_which_nbval_compares_says_what_was_lost(notebook: str) -> None:
    cells = nbformat.read(ROOT / notebook, as_version=4).cells  # type: ignore[no-untyped-call]
    tables = [
        (cell.metadata, output.text)
        for cell in cells
        for output in cell.get("outputs", [])
        if "BackgroundTasks  " in output.get("text", "") and "lost" in output.text
    ]
    ((metadata, table),) = tables
    assert not metadata.get("tags"), "a tag can keep nbval from comparing it"
    head, *lines = table.splitlines()
    names = re.split(r"\s{2,}", head.strip())
    rows = {
        name: dict(zip(names, map(int, counts), strict=True))
        for name, *counts in map(str.split, lines)
    }
    assert rows["BackgroundTasks"]["lost"] > 0
    assert rows["Celery"]["lost"] == 0
    for row in rows.values():
        assert row["sent"] == row["done"] + row["lost"]


Started = tuple[dict[str, str], ChildProcess]
"""The environment of a process that is to use a broker, and the broker."""


@contextmanager
def valkey() -> Iterator[Started]:
    """The broker that the course starts."""
    with lab_broker.Broker() as broker:
        server = broker.server
        if server is None:
            pytest.skip("there is no Valkey server for this system")
        yield broker.env, server


@contextmanager
def packaged(kind: str) -> Iterator[Started]:
    """A broker of the operating system's packages; RabbitMQ's results go to a Redis beside it."""
    start, missing = brokers.KINDS[kind]
    if missing() or brokers.redis_missing():
        pytest.skip(missing() or brokers.redis_missing())
    with ExitStack() as stack:
        broker = stack.enter_context(start())
        results = broker if kind == "redis" else stack.enter_context(brokers.redis())
        settings = {"COURSE_BROKER": broker.url, "COURSE_RESULTS": results.url}
        yield {**os.environ, **settings}, broker.process


STARTS: dict[str, Callable[[], AbstractContextManager[Started]]] = {
    "valkey": valkey,
    "redis": lambda: packaged("redis"),
    "rabbitmq": lambda: packaged("rabbitmq"),
}


@pytest.mark.parametrize("kind", STARTS)
def test_a_dead_broker_is_a_503_within_a_second(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COURSE_BROKER", "COURSE_RESULTS", "COURSE_QUEUE"):
        monkeypatch.delenv(name, raising=False)
    with STARTS[kind]() as (settings, broker):
        with api(settings, tmp_path) as client:
            assert ask(client)[0] == 202
            broker.kill()
            broker.wait(5)
            check_refused(client)
        with api(settings, tmp_path) as client:  # it has never seen the broker
            check_refused(client)


@pytest.mark.parametrize("kind", STARTS)
def test_a_broker_that_hangs_is_a_503_within_a_second(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still has its connections, but takes nothing from them: no 202 for what it has not got."""
    for name in ("COURSE_BROKER", "COURSE_RESULTS", "COURSE_QUEUE"):
        monkeypatch.delenv(name, raising=False)
    with STARTS[kind]() as (settings, broker), api(settings, tmp_path) as client:
        assert ask(client)[0] == 202
        broker.send(signal.SIGSTOP)
        check_refused(client)


@contextmanager
def api(settings: dict[str, str], folder: Path) -> Iterator[httpx.Client]:
    """A client of the finished app, which serves in a process of its own."""
    with (
        UvicornProcess("course_app.main:app", folder=folder, env=settings) as process,
        httpx.Client(base_url=process.url, trust_env=False, timeout=30) as client,
    ):
        assert client.get("/reports/ping").status_code == 200
        yield client


def ask(client: httpx.Client) -> tuple[int, str, float]:
    begun = time.monotonic()
    answer = client.post("/reports/1")
    return answer.status_code, answer.text, time.monotonic() - begun


def check_refused(client: httpx.Client) -> None:
    """Ask three times: the first finds its connection closed, or has modules to import."""
    answers = [ask(client) for _ in range(3)]
    for status, text, seconds in answers:
        assert status == 503
        assert "The broker does not answer" in text
        assert seconds < 5  # Celery's default is 19
    assert statistics.median(seconds for _, _, seconds in answers) < 1
