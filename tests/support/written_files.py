"""Answers that a lesson writes into files with `%%writefile`."""

from collections.abc import Mapping
from pathlib import Path

import nbformat


def file_cell(notebook: Path, name: str, changes: Mapping[str, str] | None = None) -> str:
    """The text of the file `name`, as the notebook's cell writes it.

    `changes` maps pieces of it to what stands there instead; every piece must be found.
    """
    first = f"%%writefile {name}\n"
    cells = nbformat.read(notebook, as_version=4).cells
    text = next(cell.source for cell in cells if cell.source.startswith(first))
    text = text.removeprefix(first) + "\n"
    for old, new in (changes or {}).items():
        assert old in text, f"nothing to change: {old!r} is not in {name}"
        text = text.replace(old, new)
    return text
