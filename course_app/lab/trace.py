"""What one request did, as plain data.

A `Trace` knows no server, no clock and no widget, so it can be made by hand in a test. Every time
in it is in seconds since the request was sent.
"""

from dataclasses import dataclass, replace

AFTER_RESPONSE = "work after the response"


@dataclass(frozen=True)
class TaskRun:
    """One background task's run."""

    name: str
    """The function's name, or `AFTER_RESPONSE` where the bench cannot know it."""
    started: float
    """Seconds since the request was sent; includes a wait for a free worker thread."""
    ended: float | None = None
    """Seconds since the request was sent; None while the task runs."""
    error: str | None = None
    """None, or the exception as "ValueError: no such address"."""
    where: str | None = None
    """The string "event loop", "worker thread", or None where it is not known."""
    worker: str | None = None
    """The name of the worker process that ran it; None if the app's own process did."""

    @property
    def label(self) -> str:
        """The name, with the worker's if there is one."""
        return self.name if self.worker is None else f"{self.name} on {self.worker}"

    def replaces(self, failed: "TaskRun") -> bool:
        """Whether it is a worker's later, successful run of the same function."""
        same = self.worker is not None and self.name == failed.name
        return same and self.started > failed.started and self.error is None


@dataclass(frozen=True)
class Detail:
    """A span that is not a task: dependencies, endpoint, serialization, or the learner's own."""

    name: str
    started: float
    ended: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Trace:
    """One request's story."""

    method: str
    path: str
    status: int | None = None
    """The response's status code; None while the response is not there."""
    response: float | None = None
    """When the response had been read by the client, in seconds since the request was sent."""
    tasks: tuple[TaskRun, ...] = ()
    """The tasks that started, in start order."""
    skipped: tuple[str, ...] = ()
    """Names of the tasks that did not run, because one before them raised."""
    details: tuple[Detail, ...] = ()
    failure: str | None = None
    """Why no response came, or None."""
    error: str | None = None
    """The exception that turned the response into a 500, or None."""
    finished: bool = True
    """True once the server is done with the request, background tasks included."""
    sent_at: float = 0.0
    """When the request was sent, in seconds since the epoch; only a live drawing needs it."""
    queued: tuple[str, ...] = ()
    """Names of the jobs that were given to a broker, and that no worker has begun."""

    @property
    def running(self) -> bool:
        """Whether anything that has begun goes on, in the app or in a worker process."""
        return not self.finished or any(task.ended is None for task in self.tasks)

    @property
    def ends(self) -> tuple[TaskRun | None, ...]:
        """What has ended, by the moment of its end: tasks, and None for the response."""
        ends = [(task.ended, 1, task) for task in self.tasks if task.ended is not None]
        moments: list[tuple[float, int, TaskRun | None]] = [*ends]
        if self.status is not None and self.response is not None:
            moments.append((self.response, 0, None))
        return tuple(task for _, _, task in sorted(moments, key=lambda moment: moment[:2]))

    @property
    def order(self) -> tuple[str, ...]:
        """The word "response" and the names of the ended tasks, by the moment of their end."""
        return tuple("response" if task is None else task.name for task in self.ends)

    @property
    def response_first(self) -> bool | None:
        """Whether the response reached the client before any task ended.

        None where there is no response or no task to compare it with.
        """
        ends = self.ends
        return ends[0] is None if self.tasks and None in ends else None

    @property
    def sentence(self) -> str:
        """What a newcomer should see in the picture."""
        return printable(self._sentence())

    def _sentence(self) -> str:
        ends = self.ends
        running = [task.label for task in self.tasks if task.ended is None]
        failed = [task for task in self.tasks if task.error is not None]
        if self.failure is not None:
            return f"No response: {closed(self.failure)}"
        if None not in ends:
            return "The client waits for the response."
        if running:
            verb = "is" if len(running) == 1 else "are"
            return f"The response arrived; {listed(running)} {verb} still running."
        if self.queued:
            verb = "waits" if len(self.queued) == 1 else "wait"
            return f"The response arrived; {listed(self.queued)} {verb} for a worker."
        if again := [t.label for t in self.tasks if failed and t.replaces(failed[0])]:
            what = f"{failed[0].label} failed, because {closed(failed[0].error)}"
            return f"The client has its {self.status}; {what} {again[-1]} finished."
        if failed:
            rest = f" {listed(self.skipped)} did not run." if self.skipped else ""
            what = f"{failed[0].label} failed: {closed(failed[0].error)}"
            return f"The client has its {self.status}; then {what}{rest}"
        if self.error is not None and self.status == 500:
            return f"The app raised {closed(self.error)} The client got {self.status}."
        if self.error is not None:
            return f"The client has its {self.status}; then the app raised {closed(self.error)}"
        if not self.tasks:
            rest = "No background task ran." if self.finished else "The app is not done yet."
            return f"The response arrived. {rest}"
        if self.response_first:
            names = listed([task.label for task in self.tasks])
            return f"The response arrived first; {names} finished after it."
        early = [task.label for task in ends[: ends.index(None)] if task is not None]
        return f"{listed(early)} finished before the client had read the response."

    def __str__(self) -> str:
        """The table in words: what ended, in order, then what did not. It holds no times."""
        rows: list[tuple[str, str]] = []
        for place, task in enumerate(self.ends, start=1):
            if task is None:
                rows.append((str(place), f"response {self.status} arrived"))
            else:
                how = "finished" if task.error is None else f"failed: {task.error}"
                rows.append((str(place), f"{task.label} {how}"))
        if self.failure is not None:
            rows.append(("-", f"no response: {self.failure}"))
        elif None not in self.ends:
            rows.append(("-", "no response yet"))
        elif self.error is not None:
            rows.append(("-", f"the app raised {self.error}"))
        rows += [("-", f"{t.label} is still running") for t in self.tasks if t.ended is None]
        rows += [("-", f"{name} waits for a worker") for name in self.queued]
        rows += [("-", f"{name} did not run") for name in self.skipped]
        heading = printable(f"{self.method} {self.path}")
        return "\n".join([heading, *(f"  {place}  {printable(text)}" for place, text in rows)])

    __repr__ = __str__

    def by_order(self) -> "Trace":
        """The same story with places in `order` for times, so that it is equal on every machine."""
        places = {id(task): float(place) for place, task in enumerate(self.ends, start=1)}
        response = places.get(id(None))
        tasks, before = [], response or 0.0
        for task in self.tasks:
            end = places.get(id(task))
            started = before if end is None or before < end else end - 1.0
            tasks.append(replace(task, started=started, ended=end))
            before = end if end is not None else before
        return replace(self, response=response, tasks=tuple(tasks), details=(), sent_at=0.0)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from course_app.lab.drawing import image  # the drawing knows the trace, not the reverse

        return {"text/plain": str(self), "text/html": image(self)}


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Names as a phrase: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def closed(text: str | None) -> str:
    """The text with a full stop at its end, unless it has one."""
    return f"{text}." if text and text[-1] not in ".!?…" else f"{text}"


def printable(text: str) -> str:
    """The text on one line: line breaks, control characters and the like as escapes ("\\n").

    Some of them would break the picture, and some would hide or turn round what stands beside.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\N{NO-BREAK SPACE}" else repr(c)[1:-1] for c in text
    )
