"""Runs an answer to an exercise through `check`, and sees to it that nothing is left behind."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from course_app.exercises import Result, check

LIMIT = 10.0
"""Seconds that a check may take, whatever the answer is."""


def checked(number: str, answer: Any) -> Result:
    """The result of a check, which must come within LIMIT seconds and leave nothing behind."""
    begun = time.monotonic()
    with nothing_left_behind(), unwatched_threads():
        result = asyncio.run(check(number, answer))
    assert time.monotonic() - begun < LIMIT
    return result


@contextmanager
def unwatched_threads() -> Iterator[None]:
    """The bench ends a stuck thread by SystemExit, which Python ignores, and pytest does not."""
    watched, threading.excepthook = threading.excepthook, threading.__excepthook__
    try:
        yield
    finally:
        threading.excepthook = watched


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Threads of the bench or its workers, and sockets that listen, are what they were before."""
    before = kept()
    yield
    deadline = time.monotonic() + 1
    while kept() != before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert kept() == before


def kept() -> tuple[list[str], int]:
    threads = [t.name for t in threading.enumerate() if "course_app" in t.name or "AnyIO" in t.name]
    return sorted(threads), listening()


def listening() -> int:
    """How many sockets of this process listen (Linux)."""
    tables = [Path("/proc/self/net", name).read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed since it was listed
            found += str(descriptor.readlink()) in inodes
    return found
