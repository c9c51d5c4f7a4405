"""A class and the classes that it inherits from: in words, and drawn. Pure."""

import base64
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from course_app.lab.drawing import PAPER
from course_app.lab.svg import text

WIDTH, BOX, GAP = 640, 62, 34
"""The drawing's width, a box's height and the room for an arrow, in pixels."""


@dataclass(frozen=True)
class ClassBox:
    """A class, as far as the picture shows it."""

    name: str
    module: str
    methods: tuple[str, ...]
    """The methods that this class defines itself, with their parameters."""


def class_tree(kind: type) -> "ClassTree":
    """The class's ancestors, the oldest first, and the class itself, read from the real classes.

    Raises ValueError for a class that inherits from more than one other.
    """
    chain = [ancestor for ancestor in reversed(kind.__mro__) if ancestor is not object]
    if any(len(ancestor.__bases__) > 1 for ancestor in chain):
        raise ValueError(f"{kind.__name__} inherits from several classes: no single line of them.")
    return ClassTree(tuple(box_of(ancestor) for ancestor in chain))


def box_of(kind: type) -> ClassBox:
    methods = (
        f"{name}({parameters_of(member)})"
        for name, member in vars(kind).items()
        if inspect.isfunction(member)
    )
    return ClassBox(kind.__name__, kind.__module__, tuple(methods))


def parameters_of(method: Callable[..., Any]) -> str:
    """The names of a method's parameters without `self`: "func, *args, **kwargs"."""
    nothing = inspect.Parameter.empty
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return ", ".join(str(each.replace(annotation=nothing, default=nothing)) for each in parameters)


@dataclass(frozen=True)
class ClassTree:
    """Displays as a picture whose words are its alternative text."""

    boxes: tuple[ClassBox, ...]

    def __str__(self) -> str:
        rows = []
        for depth, box in enumerate(self.boxes):
            arm = "   " * (depth - 1) + "└─ " if depth else ""
            rows.append(f"{arm}{box.module}.{box.name}: {', '.join(box.methods)}")
        return "\n".join(rows)

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": image(self)}


def image(tree: ClassTree) -> str:
    """The tree as an HTML image: the same on every machine, and shown by untrusted notebooks."""
    words, above = [], None
    for box in tree.boxes:
        kind = f" is a {above.module}.{above.name} and" if above else ""
        words.append(f"{box.module}.{box.name}{kind} defines {', '.join(box.methods) or 'nothing'}")
        above = box
    data = base64.b64encode(svg(tree).encode()).decode()
    return (
        f'<img alt="Class tree: {escape("; ".join(words))}." style="max-width: 100%" '
        f'src="data:image/svg+xml;base64,{data}">'
    )


def svg(tree: ClassTree) -> str:
    height = len(tree.boxes) * (BOX + GAP) - GAP + 24
    parts = [f'<rect width="{WIDTH}" height="{height}" rx="6" fill="{PAPER.ground}"/>']
    for place, box in enumerate(tree.boxes):
        y = 12 + place * (BOX + GAP)
        parts += [
            f'<rect x="40" y="{y}" width="{WIDTH - 80}" height="{BOX}" rx="4" fill="none" '
            f'stroke="{PAPER.wait}" stroke-width="1.5"/>',
            text(56, y + 25, box.name, PAPER.text, size=16, bold=True),
            text(WIDTH - 56, y + 25, box.module, PAPER.faint, anchor="end"),
            text(56, y + 48, " · ".join(box.methods), PAPER.text),
        ]
        if place:
            parts.append(arrow(y))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif">{"".join(parts)}</svg>'
    )


def arrow(y: int) -> str:
    """From a class up to the one that it inherits from, with a hollow head, as in UML."""
    x, top = WIDTH // 2, y - GAP
    return (
        f'<line x1="{x}" x2="{x}" y1="{y}" y2="{top + 11}" stroke="{PAPER.wait}"/>'
        f'<path d="M {x} {top + 1} l 7 11 h -14 z" fill="none" stroke="{PAPER.wait}"/>'
        + text(x + 14, y - 11, "is a", PAPER.faint, size=12)
    )
