"""The lines of a library that ran during one request: as steps, in words, and drawn. Pure."""

from dataclasses import dataclass
from html import escape

AROUND = 8
"""Lines shown before and after the marked one, where a function is too long to be shown whole."""
MARK = "#c77700"


@dataclass(frozen=True)
class Function:
    """A function of a library, as it stands in its file."""

    file: str
    """Path below site-packages, such as "starlette/background.py"."""
    name: str
    """Qualified, such as "BackgroundTask.__call__"."""
    first: int
    """Number of its first line in the file."""
    lines: tuple[str, ...]
    """Its source, without the common indentation."""

    @property
    def package(self) -> str:
        return self.file.partition("/")[0]


@dataclass(frozen=True)
class Step:
    """One line, at the moment when it is about to run."""

    function: Function
    number: int
    """Number of the line in the file."""
    where: str
    """The string "on the event loop" or "in a worker thread"."""
    sent: bool
    """Whether the whole response had been handed to the transport."""
    owner: int = 0
    """Which object's method this is: steps with equal numbers have the same `self`."""
    holds: str | None = None
    """The function that this `BackgroundTask` is there for, or None in other objects."""

    @property
    def code(self) -> str:
        return self.function.lines[self.number - self.function.first].strip()

    @property
    def phase(self) -> str:
        when = "after" if self.sent else "before"
        return f"{when} the response is sent, {self.where}"


def about_tasks(steps: list[Step]) -> tuple[Step, ...]:
    """The steps that a background task has to do with.

    Left out are other responses than the one that was sent (FastAPI makes one to collect headers)
    and functions that never mention the background, such as the one that renders the body.
    """
    sent = {
        step.owner
        for step in steps
        if step.function.file.endswith("responses.py") and step.function.name.endswith("__call__")
    }
    return tuple(
        step
        for step in steps
        if step.function.file.endswith("background.py")
        or (step.owner in sent and "background" in "".join(step.function.lines))
    )


def table(steps: tuple[Step, ...]) -> str:
    """All steps in words, one a line, below a line that says when and where they run."""
    rows, phase = [], ""
    for place, step in enumerate(steps, start=1):
        if step.phase != phase:
            phase = step.phase
            rows.append(phase)
        code = clipped(step.code, 47)
        rows.append(f"{place:4}  {step.function.package:9}  {step.function.name:24}  {code}")
    return "\n".join(rows)


def sentence(steps: tuple[Step, ...], place: int) -> str:
    """One step in words; `place` counts from 1."""
    step = steps[place - 1]
    holds = f" Its function is {step.holds}." if step.holds else ""
    return (
        f"Step {place} of {len(steps)}, {step.phase}: line {step.number} of "
        f"{step.function.file}, in {step.function.name}.{holds}"
    )


def words(steps: tuple[Step, ...], place: int) -> str:
    """The sentence as HTML, with what matters most in bold. A screen reader reads it out."""
    phase = escape(steps[place - 1].phase)
    html = escape(sentence(steps, place)).replace(phase, f"<strong>{phase}</strong>", 1)
    return f'<div role="status" style="padding-left: 8px; line-height: 1.5">{html}</div>'


def draw(step: Step) -> str:
    """The function's source as HTML, the step's line marked by an arrow, a bar and a ground."""
    rows = []
    for number, line in shown(step):
        marked = number == step.number
        label = "⋮" if number is None else str(number)
        look = f"border-left: 4px solid {MARK if marked else 'transparent'}; padding-left: 4px;"
        look += f" background: {MARK}33; font-weight: 600;" if marked else ""
        indent = len(line) - len(line.lstrip()) + 4  # a line that wraps goes on below its code
        current = ' aria-current="step"' if marked else ""
        rows.append(
            f'<div{current} style="{look} display: flex"><span style="flex: 0 0 5.5ch; opacity: '
            f'0.65; text-align: right" aria-hidden="true">{"▶ " if marked else ""}{label}</span>'
            f'<span style="flex: 1; min-width: 0; padding-left: {indent + 1.5}ch; '
            f'text-indent: -{indent}ch; white-space: pre-wrap; overflow-wrap: anywhere">'
            f"{escape(line) or ' '}</span></div>"
        )
    title = f"{step.function.file}: {step.function.name}"
    return (
        f'<div role="group" aria-label="{escape(title)}" style="color: var(--jp-ui-font-color1, '
        '#222); font: 13px/1.5 var(--jp-code-font-family, monospace); min-height: 24em">'
        f'<div style="padding: 2px 8px"><strong>{escape(title)}</strong></div>{"".join(rows)}</div>'
    )


def shown(step: Step) -> list[tuple[int | None, str]]:
    """Numbered lines around the step's; a number of None stands for lines left out."""
    lines = step.function.lines
    here = step.number - step.function.first
    start, end = max(here - AROUND, 0), min(here + AROUND + 1, len(lines))
    rows: list[tuple[int | None, str]] = []
    if start > 0:
        rows.append((step.function.first, lines[0]))
    if start > 1:
        rows.append((None, ""))
    rows += [(step.function.first + place, lines[place]) for place in range(start, end)]
    return rows + [(None, "")] * (end < len(lines))


def clipped(code: str, limit: int) -> str:
    return code if len(code) <= limit else code[: limit - 1] + "…"
