"""A script: runs one test file against several apps at once, each in a process of its own.

    python -P lesson_08_pytest.py TEST_FILE SECONDS WARM_UP FOLDER...

Each folder has an app and a copy of the test file. pytest, FastAPI and the bench take far more time
to be imported than a test takes to run, so this process imports them, by running WARM_UP, gets
pytest ready, and is then forked once for each folder. For each it prints a line of JSON:
`Runs.seen`, or {"lost": ...} if the run has ended its process or took too long: SECONDS, or
as long as the warming up took, on a machine that is so busy.
"""

import contextlib
import gc
import json
import os
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

REPORT = ".report.json"
# -s: what a test prints goes where the output of its process goes. native: the other styles parse
# every file that an exception has passed through, which takes more time than all tests together.
OPTIONS = ["-vv", "-s", "-p", "no:cacheprovider", "-p", "anyio.pytest_plugin", "--tb=native"]


class Runs:
    """A pytest plugin: forks before the tests are collected, and in each fork notes what happens.

    `seconds` is how long the runs may take.
    """

    def __init__(self, folders: Sequence[str], test_file: str, seconds: float) -> None:
        self.folders, self.test_file, self.seconds = folders, test_file, seconds
        self.home = ""
        """The folder of this fork, or an empty string in the process that forks."""
        self.seen: dict[str, Any] = {"passed": [], "failed": [], "skipped": [], "broken": ""}
        """Names of tests, those that failed with the first line of their error, and why the file
        could not be loaded."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool | None:
        gc.freeze()  # or each process would look through, and so copy, all that has been imported
        runs: list[int] = []
        for folder in self.folders:
            pid = os.fork()
            if pid == 0:
                self.enter(folder, session)
                return None
            runs.append(pid)
        deadline = time.monotonic() + self.seconds
        for pid, folder in zip(runs, self.folders, strict=True):
            if ended(pid, deadline):
                tell(folder, read(folder))
            else:
                os.kill(pid, signal.SIGKILL)
                tell(folder, {"lost": "time", "seconds": round(self.seconds)})
        return True  # this process itself has nothing to collect

    def enter(self, folder: str, session: pytest.Session) -> None:
        os.chdir(folder)
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(silence, descriptor)
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        session.config.args = [str(Path(folder, self.test_file))]
        self.home = folder

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2]
        if report.failed:
            self.seen["failed"].append([name, error_of(report)])
        elif report.skipped:  # an expected failure too
            self.seen["skipped"].append(name)
        elif report.when == "call":
            self.seen["passed"].append(name)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.seen["broken"] = error_of(report)
        elif report.skipped:
            self.seen["skipped"].append("the whole file")

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:  # pytest.exit too: pytest would go on to draw it
        self.pytest_sessionfinish()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        if self.home:
            report = Path(self.home, REPORT)
            report.with_suffix(".new").write_text(json.dumps(self.seen))
            report.with_suffix(".new").rename(report)
            os._exit(0)  # whatever threads a test has left


def error_of(report: Any) -> str:
    """The first line of a report's error, such as "assert [] == ['hello']"."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        lines = crash.message.strip().splitlines()
    else:
        lines = [li[1:].strip() for li in str(report.longrepr).splitlines() if li[:2] == "E "][-1:]
    first = str(lines[0]) if lines else "an error without words"
    return first.replace("AssertionError: assert ", "assert ", 1)[:200]


def ended(pid: int, deadline: float) -> bool:
    """Wait for the process; False if the time is over first."""
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def read(folder: str) -> dict[str, Any]:
    seen: dict[str, Any] = {"lost": "process"}
    with contextlib.suppress(OSError, ValueError):
        seen = json.loads(Path(folder, REPORT).read_text())
    return seen


def tell(folder: str, seen: dict[str, Any]) -> None:
    print(json.dumps({"folder": Path(folder).name, **seen}), flush=True)


def main(test_file: str, seconds: str, warm_up: str, *folders: str) -> None:
    begun = time.monotonic()
    runpy.run_path(warm_up)
    sys.dont_write_bytecode = True  # from here on: it would be that of the learner's file
    patience = max(float(seconds), time.monotonic() - begun)
    pytest.main([*OPTIONS, folders[0]], plugins=[Runs(folders, test_file, patience)])


if __name__ == "__main__":
    main(*sys.argv[1:])
