"""Lesson 05: jobs that are accepted, followed and cancelled."""

import asyncio
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from course_app.exercises.checking import Wrong, exercise, running
from course_app.exercises.jobs import (
    ENDED,
    accepted,
    because,
    must_be_404,
    poll,
    shown,
    trace_of,
    until_ended,
)
from course_app.exercises.predicting import outcome
from course_app.exercises.written import failed_task, lines_of
from course_app.lab import Bench

PAGES = Path("outbox/pages.txt")
GOOD, BROKEN = "/exports/7", "/exports/10"
LONG, SHORT = "/scans/25", "/scans/5"


@outcome("05.p1")
def who_knows_the_job(statuses: Collection[int]) -> str:
    found = [status == 200 for status in sorted(statuses)]
    if not found:
        raise ValueError("no statuses at all")
    return "all" if all(found) else "some" if any(found) else "none"


@exercise("05.1")
async def a_job_that_says_how_it_went(app: Any) -> list[str]:
    """An app whose POST /exports/{rows} gives a job with progress, an end and a reason."""
    async with running(app) as bench:
        runs = [
            export(bench, path) for path in (GOOD, BROKEN)
        ]  # side by side: it takes half as long
        good, broken = await asyncio.gather(*runs, return_exceptions=True)
        must_have_failed(polls_of(broken))
        must_have_progressed(polls_of(good))
        await must_be_404(bench, "GET")
    return [
        "The export of seven rows told its progress and was done; the one of ten failed, with its "
        "reason; an unknown job gave a 404."
    ]


async def export(bench: Bench, path: str) -> list[dict[str, Any]]:
    """Every poll of an export's job, until it has ended."""
    whose = f"the job of POST {path}"
    location = await accepted(bench, path)
    polls = await until_ended(bench, location, whose, timeout=4.0)
    trace = trace_of(bench, path)
    if not trace.tasks:
        raise Wrong(
            f"POST {path} was answered, and no background task ran. Work that the server does not "
            "know of is lost when it stops: use background_tasks.add_task."
        )
    if polls[-1]["state"] in ENDED:
        return polls
    still = f"the job still says {shown(polls[-1]['state'])}"
    error = failed_task([trace], "export, job_id, rows")
    if error and "row 7 is broken" not in error:
        raise Wrong(f"POST {path} was answered, but then {error.rstrip('.')}, and {still}.")
    if error:
        raise Wrong(
            f"The task of POST {path} has died at row 7, and {still}. Who notes the failure when "
            "write_row raises?"
        )
    if trace.finished:
        raise Wrong(f"The task of POST {path} has ended, and {still}.")
    raise Wrong(f"Four seconds after POST {path} its task still runs, and {still}.")


def polls_of(run: list[dict[str, Any]] | BaseException) -> list[dict[str, Any]]:
    if isinstance(run, BaseException):
        raise run
    return run


def must_have_progressed(polls: list[dict[str, Any]]) -> None:
    """Raise Wrong unless the job ran with a progress that went up, and was done."""
    job = f"The job of POST {GOOD}"
    if polls[-1]["state"] != "done":
        raise Wrong(f"{job} should be “done”: its rows can be written. It says {said(polls[-1])}")
    told = [poll.get("progress") for poll in polls if poll["state"] == "running"]
    if not told:
        raise Wrong(f"{job} was never “running”: {shown(polls[0])} came before {shown(polls[-1])}.")
    numbers = [number for number in told if isinstance(number, int | float)]
    if len(numbers) < len(told):
        raise Wrong(f"{job} was “running” without a number as its “progress”.")
    if numbers != sorted(numbers):
        raise Wrong(f"The progress of POST {GOOD} fell: it was told as {in_steps(numbers)}.")
    if numbers[0] < 0 or numbers[-1] > 100:
        raise Wrong(f"A progress goes from 0 to 100 per cent. This was {in_steps(numbers)}.")
    if len(set(numbers)) < 3:
        raise Wrong(f"{job} ran for more than a second, and all it told was {in_steps(numbers)}.")
    if numbers[-1] < 20:
        raise Wrong(
            f"The progress of POST {GOOD} came no further than {numbers[-1]:g}. "
            "It is told in per cent, from 0 to 100."
        )


def must_have_failed(polls: list[dict[str, Any]]) -> None:
    """Raise Wrong unless the job failed, with the exception's words as its reason."""
    job, last = f"The job of POST {BROKEN}", polls[-1]
    if last["state"] != "failed":
        raise Wrong(f"{job} should be “failed”: row 7 was not written. It says {said(last)}")
    if not last.get("reason"):
        raise Wrong(f"{job} has failed, and gives no “reason”.")
    if "row 7 is broken" not in str(last["reason"]):
        raise Wrong(
            f"{job} has failed with the reason {shown(last['reason'])}, "
            "without the words of the exception: row 7 is broken."
        )


def said(job: dict[str, Any]) -> str:
    return f"“{job['state']}”{', because of ' + shown(job['reason']) if 'reason' in job else ''}."


def in_steps(numbers: list[float]) -> str:
    """The different numbers, in the order in which they came: "0, 14, 28"."""
    steps = [b for a, b in zip([None, *numbers], numbers, strict=False) if a != b]
    return ", ".join(f"{number:g}" for number in steps)


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
