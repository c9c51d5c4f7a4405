"""Asserts that a library's source still is what a lesson says about it."""

import ast
import contextlib
import inspect
import textwrap
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from course_app.lab.errors import LabError


class SourceChanged(LabError, AssertionError):
    """The source is not what the lesson describes; says which part of it has changed."""


def in_source(thing: Callable[..., Any] | ModuleType, *pieces: str) -> None:
    """Assert that the pieces of code stand in a function's or a module's source, in this order.

    Line breaks, comments and the kind of quotation marks do not count. Raises SourceChanged.
    """
    source = textwrap.dedent(inspect.getsource(thing))
    code, place, before = ast.unparse(ast.parse(source)), 0, ""
    for piece in pieces:
        found = code.find(piece.replace('"', "'"), place)
        if found < 0:
            raise SourceChanged(what_changed(thing, piece, before))
        place, before = found + len(piece), piece


def what_changed(thing: Callable[..., Any] | ModuleType, piece: str, before: str) -> str:
    is_module = isinstance(thing, ModuleType)
    name, module = ("", thing.__name__) if is_module else (thing.__qualname__, thing.__module__)
    package = module.partition(".")[0]
    with contextlib.suppress(PackageNotFoundError):
        package = f"{package} {version(package)}"
    after = f" after `{before}`" if before else ""
    return (
        f"{name or module} in {package} has changed: it does not say `{piece}`{after}. "
        "Believe the source that you see, not what this lesson says about it."
    )
