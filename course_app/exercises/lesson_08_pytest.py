"""A script: runs one test file against several apps at once, each in a process of its own.

    python -P lesson_08_pytest.py TEST_FILE SECONDS WARM_UP FOLDER...

Each folder has an app, a copy of the test file and a pytest.ini. WARM_UP is a test file that runs
before the processes are forked: pytest, FastAPI and the bench take far more time to be imported
than a test takes to run. For each folder the script prints a line of JSON: `Report.data`, or
{"lost": ...}, where a run has ended its process or took too long: SECONDS, and more on a machine
that is so busy that the warming up alone took half of that.
"""

import contextlib
import gc
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

REPORT = ".report.json"
OPTIONS = ["-vv", "-p", "no:cacheprovider", "-p", "anyio.pytest_plugin", "--tb=short"]


class Report:
    """A pytest plugin: notes what became of each test, with the first line of its error."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {"passed": [], "failed": [], "skipped": [], "broken": ""}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2]
        if report.failed:
            self.data["failed"].append([name, error_of(report)])
        elif report.skipped:  # an expected failure too
            self.data["skipped"].append(name)
        elif report.when == "call":
            self.data["passed"].append(name)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.data["broken"] = error_of(report)
        elif report.skipped:
            self.data["skipped"].append("the whole file")


def error_of(report: Any) -> str:
    """The first line of a report's error, such as "assert [] == ['hello']"."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        lines = crash.message.strip().splitlines()
    else:
        lines = [li[1:].strip() for li in str(report.longrepr).splitlines() if li[:2] == "E "][-1:]
    return str(lines[0])[:200] if lines else "an error without words"


def run(folder: str, test_file: str) -> None:
    """Run the test file in its folder and leave a report there: in a process of its own."""
    os.chdir(folder)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    report = Report()
    with contextlib.suppress(SystemExit):
        pytest.main([*OPTIONS, test_file], plugins=[report])
    Path(REPORT + ".new").write_text(json.dumps(report.data))
    Path(REPORT + ".new").rename(REPORT)
    os._exit(0)  # whatever threads a test has left


def main(test_file: str, seconds: str, warm_up: str, *folders: str) -> None:
    sys.dont_write_bytecode = True  # from here on: what is written once may be imported once
    begun = time.monotonic()
    pytest.main([*OPTIONS, warm_up])
    patience = max(float(seconds), 2 * (time.monotonic() - begun))
    if "fork" in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method("fork")
    gc.freeze()  # or each process would look through, and so copy, all that has been imported
    runs = [multiprocessing.Process(target=run, args=(folder, test_file)) for folder in folders]
    for process in runs:
        process.start()
    deadline = time.monotonic() + patience
    for process, folder in zip(runs, folders, strict=True):
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            data: dict[str, Any] = {"lost": "time", "seconds": round(patience)}
            process.kill()
        else:
            data = {"lost": "process"}
            with contextlib.suppress(OSError, ValueError):
                data = json.loads((Path(folder) / REPORT).read_text())
        print(json.dumps({"folder": Path(folder).name, **data}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
