"""Runs a changed notebook and says which of its cells no longer give what is stored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

IGNORED = "nbval-ignore-output"


class RedCell(Exception):
    """A cell's compared outputs are not those that are stored."""


class Comparing(NotebookClient):  # type: ignore[misc]
    """Runs a notebook up to the first cell whose outputs differ; raises RedCell there."""

    async def async_execute_cell(self, cell: Any, *arguments: Any, **options: Any) -> Any:
        stored = compared(cell) if cell.cell_type == "code" else []
        ran = await super().async_execute_cell(cell, *arguments, **options)
        if cell.cell_type == "code" and compared(cell) != stored:
            raise RedCell(cell.id)
        return ran


def cells_that_turn_red(path: Path, changes: Mapping[str, str]) -> list[str]:
    """The first code cell whose compared outputs differ once the code is changed, if any.

    `changes` maps a piece of code to what stands there instead; every piece must be found. A cell
    that raises counts too.
    """
    notebook = nbformat.read(path, as_version=4)
    for old, new in changes.items():
        holders = [
            cell for cell in notebook.cells if cell.cell_type == "code" and old in cell.source
        ]
        assert holders, f"nothing to change: {old!r} is in no cell of {path.name}"
        for cell in holders:
            cell.source = cell.source.replace(old, new)
    client = Comparing(
        notebook,
        timeout=60,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,
    )
    try:
        client.execute()
    except (RedCell, CellExecutionError) as error:
        return [str(error).splitlines()[0]]
    return []


def compared(cell: Any) -> list[Any]:
    """What nbval compares of a cell: texts and data, no widget views."""
    if IGNORED in cell.metadata.get("tags", []):
        return []
    return [
        output.get("text") or {k: v for k, v in output.get("data", {}).items() if "widget" not in k}
        for output in cell.outputs
    ]
