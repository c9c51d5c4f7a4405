"""What a heartbeat saw, as plain data: when it asked, when it was answered, what ran meanwhile.

A `Pulse` knows no server, no clock and no widget. Every time in it is in seconds since the
heartbeat began.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from course_app.lab.trace import Trace, listed, printable

INTERVAL = 0.1
"""Seconds between two questions. They are asked whether or not the ones before were answered: a
client that waits for its answer would ask once, and the stall would look like one slow answer."""
LATE = 1.0
"""Seconds. A longer wait is a silence. An idle app answers in a few milliseconds."""

SLOW = 0.25
"""Seconds. A longer wait is worth a word in the live view."""
BRIEF = 0.2
"""Seconds. A task that is over sooner shows nothing about the answers meanwhile."""


@dataclass(frozen=True)
class Beat:
    """One question."""

    due: float
    """When it was to be asked."""
    answered: float | None = None
    """When its answer was there, or its failure; None while there is neither."""
    status: int | None = None
    """The answer's status code."""
    failure: str | None = None
    """Why it got no answer, or None."""

    def waited(self, now: float) -> float:
        """Seconds from the question to its answer, or to `now`."""
        return (self.answered if self.answered is not None else now) - self.due


@dataclass(frozen=True)
class Work:
    """A background task that ran meanwhile."""

    name: str
    started: float
    ended: float | None = None
    response: float | None = None
    """When the response of its request had arrived, or None."""
    where: str | None = None
    """The string "event loop", "worker thread", or None where it is not known."""
    failed: bool = False

    @property
    def words(self) -> str:
        places = {"event loop": " on the event loop", "worker thread": " in a worker thread"}
        return f"{self.name} ran{places.get(self.where or '', '')}"


@dataclass(frozen=True)
class Phase:
    """A stretch in which answers came within LATE, or one in which none came."""

    silent: bool
    started: float
    ended: float
    work: tuple[Work, ...] = ()
    """What ran during most of it, or for the most part in it."""

    @property
    def words(self) -> str:
        meanwhile = listed([work.words for work in self.work])
        if self.silent:
            return f"no answer for over a second{', while ' if meanwhile else ''}{meanwhile}"
        return f"answered within a second{', also while ' if meanwhile else ''}{meanwhile}"


@dataclass(frozen=True)
class Pulse:
    """A heartbeat's story up to the moment `now`."""

    path: str
    beats: tuple[Beat, ...] = ()
    """The questions, in the order in which they were due."""
    work: tuple[Work, ...] = ()
    now: float = 0.0

    @property
    def question(self) -> str:
        return printable(f"GET {self.path}")

    @property
    def longest(self) -> float:
        """The longest wait for an answer, in seconds; that of an open question counts so far."""
        return max((beat.waited(self.now) for beat in self.beats), default=0.0)

    @property
    def stalled(self) -> bool:
        """Whether any question waited longer than LATE."""
        return self.longest > LATE

    @property
    def phases(self) -> tuple[Phase, ...]:
        phases: list[Phase] = []
        for beat in self.beats:
            until = beat.due + beat.waited(self.now)
            silent = beat.waited(self.now) > LATE
            last = phases[-1] if phases else None
            if last is not None and last.silent and beat.due < last.ended and not silent:
                continue  # asked within a silence, and answered with the rest at its end
            if last is not None and last.silent == silent:
                phases[-1] = replace(last, ended=max(last.ended, until))
            elif silent or beat.answered is not None:
                phases.append(Phase(silent, beat.due, until))
        return tuple(
            replace(phase, work=tuple(work for work in self.work if belongs(work, phase, self.now)))
            for phase in phases
        )

    @property
    def silences(self) -> tuple[Phase, ...]:
        return tuple(phase for phase in self.phases if phase.silent)

    @property
    def problem(self) -> str | None:
        """What is wrong with the answers themselves, or None."""
        for beat in self.beats:
            if beat.failure is not None:
                return f"{self.question} got no answer: {beat.failure}"
            if beat.status is not None and beat.status >= 400:
                return f"{self.question} is answered with {beat.status}. Does the app have it?"
        return None

    @property
    def sentence(self) -> str:
        """What a newcomer should see in the picture."""
        if self.problem is not None:
            return self.problem
        if not self.beats:
            return "Nothing asked yet."
        waiting = [beat.waited(self.now) for beat in self.beats if beat.answered is None]
        if waiting and waiting[0] > SLOW:
            running = listed([work.name for work in self.work if work.ended is None])
            return f"No answer for {waiting[0]:.1f} s{f', while {running} runs' * bool(running)}."
        if self.longest > SLOW:
            names = listed(list(dict.fromkeys(w.name for p in self.silences for w in p.work)))
            said = f"The longest answer took {self.longest:.1f} s"
            return f"{said}: none came while {names} ran." if names else f"{said}."
        return f"Every answer came at once: the longest took {self.longest * 1000:.0f} ms."

    def __str__(self) -> str:
        """The phases in words, in order. They hold no times."""
        rows = [f"  {place}  {phase.words}" for place, phase in enumerate(self.phases, start=1)]
        rows += [f"  -  {self.problem}"] if self.problem else []
        return "\n".join(
            [f"{self.question}, ten times a second", *(rows or ["  -  not asked yet"])]
        )

    __repr__ = __str__

    def by_order(self) -> "Pulse":
        """The same phases, each with a fixed length, so that it is equal on every machine."""
        beats: list[Beat] = []
        runs: list[Work] = []
        clock = 0.0
        for phase in self.phases:
            length = 2.0 if phase.silent or phase.work else 0.5
            dues = [clock + place * INTERVAL for place in range(round(length / INTERVAL))]
            clock += length
            beats += [Beat(due, clock if phase.silent else due, 200) for due in dues]
            margin = 0.0 if phase.silent else 3 * INTERVAL
            begun = dues[0] + (margin or -INTERVAL / 3)
            runs += [
                replace(work, started=begun, ended=clock - margin, response=begun)
                for work in phase.work
            ]
        return replace(self, beats=tuple(beats), work=tuple(runs), now=clock)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from course_app.lab.pulse_drawing import image  # the drawing knows the pulse

        return {"text/plain": str(self), "text/html": image(self)}


def belongs(work: Work, phase: Phase, now: float) -> bool:
    """Whether a task ran during most of a phase, or for the most part in it."""
    ended = work.ended if work.ended is not None else now
    common = min(ended, phase.ended) - max(work.started, phase.started)
    return common > BRIEF and common > 0.5 * min(ended - work.started, phase.ended - phase.started)


def work_of(traces: Iterable[Trace], began_at: float) -> tuple[Work, ...]:
    """The background tasks of requests, in the order in which the requests were sent.

    `began_at` is when the heartbeat began, in seconds since the epoch.
    """
    runs = []
    for trace in traces:
        zero = trace.sent_at - began_at
        for task in trace.tasks:
            runs.append(
                Work(
                    printable(task.name),
                    zero + task.started,
                    None if task.ended is None else zero + task.ended,
                    None if trace.response is None else zero + trace.response,
                    task.where,
                    failed=task.error is not None,
                )
            )
    return tuple(run for run in runs if run.ended is None or run.ended > 0)
