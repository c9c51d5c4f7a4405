"""Runs a test's story on a bench, and counts what a process holds."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from course_app.lab import Bench

T = TypeVar("T")
ROOT = Path(__file__).parent.parent.parent


def on_a_bench(app: Any, story: Callable[[Bench], Awaitable[T]]) -> T:
    """Run `story` with a bench for the app, and close the bench."""
    bench = Bench(app)
    try:
        return asyncio.run(story(bench))  # type: ignore[arg-type]
    finally:
        bench.close()


def holdings() -> tuple[list[str], int]:
    """The names of the threads, and the number of open descriptors."""
    descriptors = [
        link for link in Path("/proc/self/fd").iterdir() if link.exists() or link.is_symlink()
    ]
    return sorted(thread.name for thread in threading.enumerate()), len(descriptors)


def becomes(wanted: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether this comes true within the time."""
    deadline = time.monotonic() + seconds
    while not wanted():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def script(code: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run code in a Python process of its own. Raises TimeoutExpired if it does not end."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )
