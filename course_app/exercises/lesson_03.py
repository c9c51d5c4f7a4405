"""Lesson 03: dependencies that add tasks."""

from pathlib import Path
from typing import Any

from course_app.exercises.checking import Wrong, exercise, running
from course_app.exercises.predicting import outcome
from course_app.exercises.written import (
    Witness,
    Written,
    by_a_task,
    must_answer,
    nothing_written,
    quoted,
    send,
)
from course_app.lab import Trace

AUDIT = Path("outbox/audit.txt")
SEARCHES = Path("outbox/searches.txt")
RETURNED = ". What a dependency returns is what the path operation gets."


@outcome("03.p1")
def which_task_is_first(trace: Trace) -> str:
    first, *rest = trace.tasks
    if any(task.started < (first.ended or 0.0) for task in rest):
        return "together"
    return "inside" if first.name == "from_sub_dependency" else "outside"


@exercise("03.1")
async def an_audit_of_a_router(app: Any) -> list[str]:
    """An app whose POST and DELETE /orders/{number} leave a line each, and whose GET none."""
    AUDIT.unlink(missing_ok=True)
    async with running(app) as bench:
        witness = Witness(bench, AUDIT)
        for method in ["GET", "POST", "DELETE"]:
            seen = await send(bench, witness, method, "/orders/7")
            by_a_task(seen, 'write_audit, "POST /orders/7"', AUDIT)
            if method == "GET":
                if seen.lines:
                    raise Wrong(
                        f"{seen.request} changes nothing, but it left {quoted(seen.lines)} in "
                        f"{AUDIT}. Add the task only for the methods that change something."
                    )
                continue
            if not seen.lines:
                raise await nothing_written(seen.request, seen.trace, AUDIT, seen.before)
            if len(seen.lines) > 1:
                raise Wrong(
                    f"{seen.request} left {len(seen.lines)} lines in {AUDIT}: "
                    f"{quoted(seen.lines)}. It should leave one."
                )
            if seen.lines != [seen.request]:
                raise Wrong(
                    f"{seen.request} left {quoted(seen.lines)} in {AUDIT}, and should leave "
                    f"{quoted([seen.request])}."
                )
    return ["POST and DELETE left a line each, after the response; GET left none."]


@exercise("03.2")
async def who_searched_for_what(app: Any) -> list[str]:
    """An app whose GET /search logs the user, and the words if there are any, in this order."""
    SEARCHES.unlink(missing_ok=True)
    async with running(app) as bench:
        witness = Witness(bench, SEARCHES)
        seen = await send(bench, witness, "GET", "/search?user=ada&words=tea")
        by_a_task(seen, 'write_search, "user ada"', SEARCHES)
        if not seen.lines:
            raise await nothing_written(seen.request, seen.trace, SEARCHES, seen.before)
        if seen.lines == ["words tea", "user ada"]:
            raise Wrong(
                f"{seen.request} left its lines in the order {quoted(seen.lines)}. Tasks run in "
                "the order of add_task, so the user's must be added first."
            )
        must_leave(seen, ["user ada", "words tea"])
        must_answer(seen, {"words": "tea"}, RETURNED)
        seen = await send(bench, witness, "GET", "/search")
        by_a_task(seen, 'write_search, "user guest"', SEARCHES)
        if any(line.startswith("words") for line in seen.lines):
            raise Wrong(
                f"{seen.request} searches for nothing, but it left {quoted(seen.lines)}. Add the "
                "words' task only if there are words."
            )
        must_leave(seen, ["user guest"])
        must_answer(seen, {"words": None}, RETURNED)
    return ["Each search left its user, then its words if it had any, after the response."]


def must_leave(seen: Written, lines: list[str]) -> None:
    if seen.lines != lines:
        left = quoted(seen.lines) or "no line"
        raise Wrong(f"{seen.request} left {left} in {SEARCHES}, and should leave {quoted(lines)}.")
