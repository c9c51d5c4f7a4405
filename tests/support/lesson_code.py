"""The code that a lesson shows, as Python objects: its apps, tasks and dependencies."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

RUNS = {"Lab", "lab", "check", "predict", "response", "trace", "print"}
"""Names in the cells that run what the others define, and look at what came of it."""


def definitions(
    notebook: Path, until: str | None = None, changes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What the lesson's cells define, by name. Cells that only run it are left out.

    `until` is a piece of the code of the first cell that is not read any more; `changes` maps
    pieces of code to what stands there instead, as a learner might have written it. Every piece
    must be found; it is changed in the last cell that has it.
    """
    sources = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        if until is not None and until in cell.source:
            break
        if cell.cell_type == "code" and not runs_something(cell.source):
            sources.append(cell.source)
    else:
        assert until is None, f"{until!r} is in no cell of {notebook.name}"
    for old, new in (changes or {}).items():
        holders = [place for place, source in enumerate(sources) if old in source]
        # A lesson may show the same code before: what the exercise says stands last.
        assert holders, f"nothing to change: {old!r} is in no cell of {notebook.name}"
        sources[holders[-1]] = sources[holders[-1]].replace(old, new)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for source in sources:
        exec(compile(source, notebook.name, "exec"), namespace)
    return namespace


def runs_something(source: str) -> bool:
    tree = compile(source, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    nodes = list(ast.walk(tree))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return bool(names & RUNS) or any(isinstance(node, ast.Await) for node in nodes)
