"""Lesson 06: what gets lost."""

from pathlib import Path
from typing import Any

from course_app.exercises import lesson_06_retry  # noqa: F401  (registers 06.3)
from course_app.exercises.checking import OTHER_LOOP, Wrong, exercise, running
from course_app.exercises.predicting import outcome
from course_app.exercises.written import (
    Witness,
    Written,
    failed_task,
    must_answer,
    no_task,
    nothing_written,
    quoted,
    send,
)
from course_app.lab import Trace
from course_app.lab.trace import listed

WELCOME = Path("outbox/welcome.txt")
ORDERS = Path("outbox/orders.txt")

WELCOMES = {
    "ada": ("copy for ada", "mail to ada", "ada is counted"),
    "grace": (
        "copy for grace",
        "send_welcome failed: the mail server is down",
        "grace is counted",
    ),
    "hedy": (
        "write_copy failed: the copy has no address",
        "mail to hedy",
        "hedy is counted",
    ),
    "joan": ("copy for joan", "mail to joan", "count_welcome failed: the counter is stuck"),
}
"""The lines that each name must leave."""
AUDITS = {
    "tea": ("audit of tea", "receipt for tea"),
    "sample": ("audit of sample",),
}
"""The lines that each order must leave."""


@outcome("06.p1")
def after_an_exception(trace: Trace) -> str:
    if trace.status != 200:
        return str(trace.status)
    return "goes on" if "count_email" in trace.order else "skips"


@outcome("06.p2")
def the_next_request(answer: Any) -> str:
    if isinstance(answer, Exception):
        return "nothing"
    return "answered" if answer.status_code < 400 else str(answer.status_code)


@outcome("06.p3")
def behind_a_patient_task(trace: Trace) -> str:
    order = trace.order
    if "count_email" not in order:
        return "never"
    return "between" if order[-1] == "deliver_patiently" else "after"


@outcome("06.p4")
@outcome("06.p5")
def of_audit_and_receipt(trace: Trace) -> str:
    return {0: "none", 1: "one"}.get(len(trace.tasks), "both")


@outcome("06.p6")
def of_added_and_own(trace: Trace) -> str:
    names = [task.name for task in trace.tasks]
    if len(names) > 1:
        return "both"
    return "audit" if names == ["write_audit"] else "receipt"


@exercise("06.1")
async def whatever_a_task_raises(app: Any) -> list[str]:
    """An app whose POST /welcome/{name} runs three tasks, also where one of them raises."""
    WELCOME.unlink(missing_ok=True)
    async with running(app) as bench:
        witness = Witness(bench, WELCOME)
        for name, lines in WELCOMES.items():
            seen = await send(bench, witness, "POST", f"/welcome/{name}")
            must_survive(seen)
            if not seen.lines:
                raise await nothing_written(seen.request, seen.trace, WELCOME, seen.before)
            must_leave(seen, lines, WELCOME)
    return ["Whatever a task raised, the others ran, and the error has its line."]


@exercise("06.2")
async def both_tasks(app: Any) -> list[str]:
    """An app whose POST /orders/{item} runs the added task and that of the helper's response."""
    ORDERS.unlink(missing_ok=True)
    async with running(app) as bench:
        witness = Witness(bench, ORDERS)
        for item, lines in AUDITS.items():
            seen = await send(bench, witness, "POST", f"/orders/{item}")
            must_survive(seen)
            must_answer(seen, {"ordered": item}, ", as confirm does.")
            if not seen.lines:
                raise await nothing_written(seen.request, seen.trace, ORDERS, seen.before)
            must_leave(seen, lines, ORDERS)
    return ["Both tasks ran after the response; the sample, which has one task, left one line."]


def must_survive(seen: Written) -> None:
    """Raise Wrong unless what the request left was left after its response, by tasks that
    raised nothing.
    """
    for task in seen.trace.tasks:
        if task.error is None:
            continue
        behind = f" {listed(seen.trace.skipped)} did not run." if seen.trace.skipped else ""
        failure = failed_task([seen.trace], "function, argument")
        if "add_task was given" in failure:
            behind = ""
        elif OTHER_LOOP not in task.error:
            failure = f"{task.name} failed: {task.error.rstrip('.')}."
        raise Wrong(f"{seen.request} was answered, but then {failure}{behind}")
    if seen.early:
        raise Wrong(
            f"{seen.request}: {quoted(seen.early)} is written before the response, not after it."
            f"{no_task(seen.trace)}"
        )
    if not seen.kept:
        raise Wrong(f"{seen.request} has wiped out the lines that stood in the file before.")


def must_leave(seen: Written, lines: tuple[str, ...], file: Path) -> None:
    """Raise Wrong unless the request left these lines, each once, in any order."""
    left = quoted(seen.lines)
    for line in lines:
        if line not in seen.lines:
            task, failed, error = line.partition(" failed: ")
            if failed and any(error in found for found in seen.lines):
                raise Wrong(
                    f"{seen.request} left {left} in {file}. The line about the error should be "
                    f"{quoted([line])}."
                )
            lost = f": the error of {task} is lost" if failed else ""
            raise Wrong(f"{seen.request} left {left} in {file}, but not {quoted([line])}{lost}.")
        if seen.lines.count(line) > 1:
            raise Wrong(
                f"{seen.request} left {quoted([line])} {seen.lines.count(line)} times in {file}. "
                "It should be there once."
            )
    if more := [line for line in seen.lines if line not in lines]:
        raise Wrong(f"{seen.request} left one line too many in {file}: {quoted(more)}.")
