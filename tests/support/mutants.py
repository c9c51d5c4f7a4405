"""Runs a changed notebook and says which of its cells no longer gives what is stored."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

IGNORED = "nbval-ignore-output"


def cells_that_turn_red(path: Path, changes: Mapping[str, str]) -> list[str]:
    """The first code cell whose compared outputs differ once the code is changed, as a list.

    The list is empty if none does. `changes` maps a piece of code to what stands there instead;
    every piece must be found. A cell that raises counts too.
    """
    notebook = nbformat.read(path, as_version=4)
    stored = {cell.id: compared(cell) for cell in notebook.cells if cell.cell_type == "code"}
    for old, new in changes.items():
        holders = [
            cell for cell in notebook.cells if cell.cell_type == "code" and old in cell.source
        ]
        assert holders, f"nothing to change: {old!r} is in no cell of {path.name}"
        for cell in holders:
            cell.source = cell.source.replace(old, new)
    with TemporaryDirectory() as folder:  # tests of the same notebook may run at the same time
        client = NotebookClient(
            notebook,
            timeout=60,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            coalesce_streams=True,
        )
        return asyncio.run(first_red(client, stored))


async def first_red(client: NotebookClient, stored: Mapping[str, Any]) -> list[str]:
    """Run cell by cell and stop at the first one that differs: the rest would only take time."""
    async with client.async_setup_kernel():
        for place, cell in enumerate(client.nb.cells):
            try:
                await client.async_execute_cell(cell, place)
            except CellExecutionError as error:
                return [f"{cell.id}: {str(error).splitlines()[0]}"]
            if cell.cell_type == "code" and compared(cell) != stored[cell.id]:
                return [cell.id]
    return []


def compared(cell: Any) -> list[Any]:
    """What nbval compares of a cell: texts and data, no widget views."""
    if IGNORED in cell.metadata.get("tags", []):
        return []
    return [
        output.get("text") or {k: v for k, v in output.get("data", {}).items() if "widget" not in k}
        for output in cell.outputs
    ]
