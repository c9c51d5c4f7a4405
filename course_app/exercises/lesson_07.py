"""Lesson 07: sessions and shutdown. Its predictions; each exercise has a module of its own."""

from collections.abc import Mapping, Sequence

from course_app.exercises import lesson_07_reports, lesson_07_sessions  # noqa: F401  (register)
from course_app.exercises.predicting import outcome


@outcome("07.p1")
def when_does_it_commit(events: Sequence[str]) -> str:
    """The events of the request in order, among them “committed” and “response sent”."""
    committed, sent = events.index("committed"), events.index("response sent")
    task = [event.startswith("the task") for event in events].index(True)
    if committed < sent:
        return "first"
    return "between" if committed < task else "last"


@outcome("07.p2")
def which_tasks_finish(ledger: Mapping[str, int]) -> str:
    """How often each line stands in the ledger of a server that was ended by SIGTERM."""
    if not ledger["async def accepted"]:
        raise LookupError("no server was started")
    done = {kind for kind in ("async def", "def") if ledger[f"{kind} done"]}
    return "all" if len(done) == 2 else "async" if "async def" in done else "none"
