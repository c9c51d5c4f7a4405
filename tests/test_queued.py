"""Cells queued in a kernel of their own: which of them run, and that the kernel is gone then."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from course_app.lab.queued import CellRun, run_queued


def children() -> set[int]:
    """The ids of the processes that this one has started and that still exist."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == os.getpid():
            found.add(int(stat.parent.name))
    return found


def nested(package: str) -> list[str]:
    return [
        f"import asyncio, {package}\n{package}.apply()",
        "print(asyncio.run(asyncio.sleep(0.2, 'sent')))",
        "print('on')",
        "1 / 0",
    ]


def test_cells_run_in_order_and_errors_stop_nothing() -> None:
    run = asyncio.run(run_queued(["x = 1", "x / 0", "print(x + 1)"]))
    assert str(run).splitlines() == [
        "  1  ran",
        "  2  ran, ZeroDivisionError: division by zero",
        "  3  ran, printed '2'",
    ]


def test_nest_asyncio_strands_what_is_queued_and_its_successor_does_not() -> None:
    async def both() -> list[tuple[CellRun, ...]]:
        packages = ("nest_asyncio", "nest_asyncio2")
        return await asyncio.gather(*(run_queued(nested(package)) for package in packages))

    stranded, run = asyncio.run(both())
    assert [cell.ran for cell in stranded] == [True, True, False, False]
    assert stranded[1].printed == run[1].printed == "sent\n"
    assert [cell.ran for cell in run] == [True, True, True, True]
    assert run[3].error == "ZeroDivisionError: division by zero"


def test_cells_that_take_longer_than_the_patience_are_not_stranded() -> None:
    run = asyncio.run(run_queued(["import time", "time.sleep(1.5)", "print('on')"]))
    assert [cell.ran for cell in run] == [True, True, True]


def test_nothing_is_left_of_the_kernel() -> None:
    async def scenario() -> None:
        await run_queued(["1"])  # what the process keeps for good is there before we count
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        threads, processes = threading.active_count(), children()
        await run_queued(["print(1)"])
        assert children() == processes
        assert threading.active_count() == threads
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors

    asyncio.run(scenario())


@pytest.mark.parametrize("moment", [0.0, 0.03, 0.2, 0.5, 1.0, 1.6])
def test_an_interrupted_cell_leaves_no_kernel(moment: float) -> None:
    async def scenario() -> None:
        processes = children()
        running = asyncio.create_task(run_queued(["import time; time.sleep(5)"]))
        await asyncio.sleep(moment)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        deadline = time.monotonic() + 2
        while children() - processes and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert children() - processes == set()

    asyncio.run(scenario())


def test_it_gives_up_after_its_time() -> None:
    processes = children()
    with pytest.raises(TimeoutError):
        asyncio.run(run_queued(["import time; time.sleep(30)"], timeout=3))
    assert children() - processes == set()
