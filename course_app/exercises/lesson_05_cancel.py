"""Lesson 05: a job that can be cancelled."""

import asyncio
import time
from pathlib import Path
from typing import Any

from course_app.exercises.checking import Wrong, exercise, running
from course_app.exercises.jobs import (
    accepted,
    because,
    must_be_404,
    poll,
    said,
    trace_of,
    until_ended,
)
from course_app.exercises.written import failed_task, lines_of
from course_app.lab import Bench

PAGES = Path("outbox/pages.txt")
LONG, SHORT = "/scans/25", "/scans/5"


@exercise("05.2")
async def a_scan_that_can_be_stopped(app: Any) -> list[str]:
    """An app whose DELETE /jobs/{job_id} ends the job in a thread, and no other."""
    PAGES.unlink(missing_ok=True)
    async with running(app) as bench:
        long = await accepted(bench, LONG)
        await first_page(bench)
        short = await accepted(bench, SHORT)
        await delete(bench, long)
        await must_stop(bench, long)
        whose = f"the job of POST {SHORT}"
        state = (await until_ended(bench, short, whose, timeout=3.0))[-1]["state"]
        if state != "done":
            raise Wrong(f"Nobody cancelled {whose}, but it says “{state}”.")
        if (found := len(pages(short))) != 5:
            raise Wrong(f"{whose.capitalize()} is done, but {found} of its 5 pages are scanned.")
        await must_stay_done(bench, short)
        await must_be_404(bench, "DELETE")
    return [
        "The job was cancelled and its pages stopped; the other one was done, and stayed so; an "
        "unknown job gave a 404."
    ]


def pages(location: str) -> list[str]:
    """The lines that the job has left so far."""
    job_id = location.rstrip("/").rpartition("/")[2]
    return [line for line in lines_of(PAGES) if line.startswith(job_id)]


async def first_page(bench: Bench) -> None:
    """Wait until a page is scanned, so that there is something to cancel."""
    deadline = time.monotonic() + 2.0
    while not lines_of(PAGES):
        if time.monotonic() > deadline:
            error = failed_task([trace_of(bench, LONG)], "scan, job_id, pages")
            raise Wrong(
                f"POST {LONG} was answered, but then {error}" if error else
                f"Two seconds after POST {LONG} no page stands in {PAGES}."
            )  # fmt: skip
        await asyncio.sleep(0.02)


async def delete(bench: Bench, location: str) -> None:
    response = await bench.delete(location)
    said = f"The DELETE of a running job was answered with {response.status_code}"
    if response.status_code in (404, 405):
        raise Wrong(f'{said}: does the app have @scan_app.delete("/jobs/{{job_id}}")?')
    if not response.is_success:
        raise Wrong(f"{said}{because(bench, response)}. It should be a 2xx.")


async def must_stop(bench: Bench, location: str) -> None:
    """Raise Wrong unless the job is soon cancelled, stays so, and leaves no more pages."""
    whose = "the cancelled job"
    polls = [await poll(bench, location, whose)]
    deadline = time.monotonic() + 1.5
    while polls[-1]["state"] != "cancelled" and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        polls.append(await poll(bench, location, whose))
    if polls[-1]["state"] != "cancelled":
        raise Wrong(
            f"More than a second after the DELETE the job still says {said(polls[-1])} "
            "A wish that the task does not look at changes nothing."
        )
    await asyncio.sleep(0.1)  # a page that was under way may still be written, and no other
    before = len(pages(location))
    await asyncio.sleep(0.7)
    state = (await poll(bench, location, whose))["state"]
    if state != "cancelled":
        raise Wrong(f"The job said “cancelled” for a moment, and then “{state}”: the task went on.")
    if len(pages(location)) - before > 1:
        raise Wrong(
            "The job says “cancelled”, but its task goes on: more pages were scanned meanwhile."
        )


async def must_stay_done(bench: Bench, location: str) -> None:
    response = await bench.delete(location)
    state = (await poll(bench, location, "a job that is done"))["state"]
    if state != "done":
        raise Wrong(f"A job that was done says “{state}” after a DELETE. It should stay done.")
    if response.status_code != 409:
        raise Wrong(
            "The DELETE of a job that is done was answered with "
            f"{response.status_code}{because(bench, response)}. It should be a 409: the job's "
            "state does not allow it."
        )
