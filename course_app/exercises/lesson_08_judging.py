"""Judges a learner's test file: it must pass on every right app and fail on every wrong one."""

import ast
import asyncio
import inspect
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_app.exercises.checking import Wrong
from course_app.exercises.lesson_08_shops import RIGHT, SHOP, Shop
from course_app.lab import ChildProcess
from course_app.lab.child_process import remove_folder, temporary_folder

LIMIT = 25.0
"""Seconds that a check may take at the very most, on a machine that is busy with other work.

Otherwise it takes 2 seconds to start, plus what the tests take, and those are stopped in time.
"""
SCRIPT = Path(__file__).with_name("lesson_08_pytest.py")
TEST_FILE = "test_shop.py"
FAKED = f"""\
import unittest.mock
{SHOP}

class FakeMailer:
    def send(self, email: str, text: str) -> None: ...


app.dependency_overrides[get_mailer] = FakeMailer
path = "/orders/7?email=ada@example.com"
"""
CLIENT = f"""\
{FAKED}
from fastapi.testclient import TestClient

TestClient(app).post(path)
"""
"""Makes Python import what a test with TestClient needs, down to what is imported at first use."""
BENCH = f"""\
{FAKED}
import asyncio
from course_app.lab import Bench

bench = Bench(app)
asyncio.run(bench.post(path))
bench.close()
"""
"""The same for a test with a bench."""
LOST = (
    "On {}, your tests had not ended after {:g} seconds, and were stopped. "
    "Is there a loop without an end, or a wait without a short timeout?"
)
BUSY = " If not, this machine is busy: check again."


async def judge(answer: Any, shops: Sequence[Shop], warm_up: str, seconds: float) -> None:
    """Run the test file against all shops at once; raise Wrong for the first that it gets wrong.

    `warm_up` is a script that runs beforehand; each run on a shop may take `seconds`.
    """
    source = source_of(answer)
    if not hasattr(os, "fork"):
        raise Wrong("This check needs a system that can fork processes: Linux, macOS or WSL.")
    folder = temporary_folder("tests-of-a-shop-")
    try:
        (folder / "pytest.ini").write_text("[pytest]\n")
        for place, shop in enumerate(shops):
            home = folder / str(place)
            home.mkdir()
            (home / "shop.py").write_text(shop.code, encoding="utf-8")
            (home / TEST_FILE).write_text(source, encoding="utf-8")
        (folder / "warm_up.py").write_text(warm_up)
        command = [sys.executable, "-P", str(SCRIPT), TEST_FILE, f"{seconds}", "warm_up.py"]
        command += [str(folder / str(place)) for place in range(len(shops))]
        with ChildProcess(command, "pytest", folder=folder, env=environment()) as child:
            try:
                await follow(child, shops)
            finally:
                child.stop(grace=0)
    finally:
        remove_folder(folder)


async def follow(child: ChildProcess, shops: Sequence[Shop]) -> None:
    """Read the reports as they come in, in the order of the shops."""
    deadline = time.monotonic() + LIMIT - 0.5
    read = 0
    while read < len(shops):
        over = not child.running or time.monotonic() > deadline
        if not child.running:
            child.stop()  # its log is complete now
        reports = [line for line in child.log.splitlines(keepends=True) if line[:1] == "{"]
        for line in reports[read:]:
            if line.endswith("\n"):
                must_be_right(json.loads(line), shops[read])
                read += 1
        if over and read < len(shops):
            raise Wrong(LOST.format(described(shops[read]), LIMIT) + BUSY)
        await asyncio.sleep(0.03)


def must_be_right(report: dict[str, Any], shop: Shop) -> None:
    """Raise Wrong if the tests fail on a right shop, or do not fail on a wrong one."""
    where = described(shop)
    if report.get("lost") == "time":
        raise Wrong(LOST.format(where, report["seconds"]))
    if report.get("lost") == "process":
        raise Wrong(
            f"On {where}, your tests ended Python itself, so pytest could not report. "
            "A test ends by returning, or by an assert that fails."
        )
    if report["broken"]:
        raise Wrong(f"pytest could not load your file: {report['broken'].rstrip('.')}.")
    if not shop.right:
        if not report["failed"]:
            raise Wrong(f"Your tests pass on an app that {shop.does}. {shop.hint}")
        return
    if report["failed"]:
        name, error = report["failed"][0]
        hint = shop.hint or "That app is right, so the test is not."
        raise Wrong(f"On {where}, {name} fails with {error.rstrip('.')}. {hint}")
    if report["skipped"]:
        raise Wrong(
            f"{report['skipped'][0]} is skipped, or expected to fail. Such a test tells nothing: "
            "take the mark away."
        )
    if not report["passed"]:
        raise Wrong(
            "pytest ran no test of your file. It looks for functions whose names begin with "
            "test_, and stops where something calls pytest.exit or sys.exit."
        )


def described(shop: Shop) -> str:
    return "the shop as it is" if shop is RIGHT else f"an app that {shop.does}"


def source_of(answer: Any) -> str:
    """The text of a test file that parses; raises Wrong for anything else."""
    if isinstance(answer, str) and "\n" in answer:
        source = answer
    elif isinstance(answer, str | os.PathLike):
        path = Path(answer)
        try:
            source = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise Wrong(
                f"There is no file {path.name or str(answer)!r:.60}. Run the cell that writes it."
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
            raise Wrong(f"{path.name!r:.60} cannot be read as a file: {reason}.") from None
    else:
        kind = answer.__name__ if inspect.isclass(answer) else type(answer).__name__
        raise Wrong(f"This check takes the path of your test file, and got a {kind}.")
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(source)
    except SyntaxError as error:
        raise Wrong(f"Your file is no Python: {error.msg} (line {error.lineno}).") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Wrong(f"Your file is no Python: {error}.") from None
    return source


def environment() -> dict[str, str]:
    """For a pytest with no options and no plugins from outside."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # no_proxy: on macOS a forked process must not ask the system for its proxies
    return {**outside, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "no_proxy": "*"}
