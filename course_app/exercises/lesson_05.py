"""Lesson 05: jobs that are accepted and followed."""

import asyncio
from collections.abc import Collection
from typing import Any

from course_app.exercises import lesson_05_cancel  # noqa: F401  (registers 05.2)
from course_app.exercises.checking import Wrong, exercise, running
from course_app.exercises.jobs import (
    ENDED,
    accepted,
    must_be_404,
    said,
    shown,
    trace_of,
    until_ended,
)
from course_app.exercises.predicting import outcome
from course_app.exercises.written import failed_task
from course_app.lab import Bench

GOOD, BROKEN = "/exports/7", "/exports/10"


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
        # side by side, which takes half as long
        runs = [export(bench, GOOD), export(bench, BROKEN)]
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
    if len(set(numbers)) < 2:
        raise Wrong(f"{job} ran for more than a second, and all it told was {in_steps(numbers)}.")
    if numbers[-1] < 20:
        raise Wrong(
            f"The progress of POST {GOOD} did not even come to 20. It is told in per cent, "
            "from 0 to 100."
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


def in_steps(numbers: list[float]) -> str:
    """The different numbers, in the order in which they came: "0, 14, 28"."""
    steps = [b for a, b in zip([None, *numbers], numbers, strict=False) if a != b]
    return ", ".join(f"{number:g}" for number in steps)
