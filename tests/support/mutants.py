"""Runs a changed notebook and says which of its cells no longer give what is stored."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

IGNORED = "nbval-ignore-output"

Mutant = tuple[Mapping[str, str], str]
"""What is changed, and a piece of the first cell that no longer gives what is stored then."""


def survivors(path: Path, mutants: Mapping[str, Mutant]) -> list[str]:
    """The names of the mutants that their cell does not notice, when all of them are in.

    They share a run, which for a whole lesson takes a minute: put only those together of which
    none changes what another one's cell shows. A cell that raises has noticed.
    """
    notebook = nbformat.read(path, as_version=4)
    cells = {name: the_cell(notebook, piece).id for name, (_, piece) in mutants.items()}
    changes = {old: new for changed, _ in mutants.values() for old, new in changed.items()}
    assert len(changes) == sum(len(changed) for changed, _ in mutants.values()), "the same twice"
    red = red_cells(path, changes, set(cells.values()))
    return [name for name, cell in cells.items() if cell not in red]


def red_cells(path: Path, changes: Mapping[str, str], wanted: set[str] | None = None) -> list[str]:
    """The ids of the code cells whose compared outputs differ once the code is changed.

    `changes` maps a piece of code to what stands there instead; every piece must be found. The run
    stops when the `wanted` cells are among them: the rest would only take time.
    """
    notebook = nbformat.read(path, as_version=4)
    stored = {cell.id: compared(cell) for cell in code_cells(notebook)}
    for old, new in changes.items():
        holders = [cell for cell in code_cells(notebook) if old in cell.source]
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
        return asyncio.run(run(client, stored, wanted))


async def run(
    client: NotebookClient, stored: Mapping[str, Any], wanted: set[str] | None
) -> list[str]:
    red: list[str] = []
    async with client.async_setup_kernel():
        for place, cell in enumerate(client.nb.cells):
            try:
                await client.async_execute_cell(cell, place)
            except CellExecutionError:
                red.append(cell.id)
            else:
                if cell.cell_type == "code" and compared(cell) != stored[cell.id]:
                    red.append(cell.id)
            if wanted and wanted <= set(red):
                break
    return red


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def the_cell(notebook: Any, piece: str) -> Any:
    """The one cell that the piece stands in, or that it is the whole of."""
    cells = code_cells(notebook)
    whole = [cell for cell in cells if piece == cell.source]
    (cell,) = whole or [cell for cell in cells if piece in cell.source]
    return cell


def compared(cell: Any) -> list[Any]:
    """What nbval compares of a cell: texts and data, no widget views."""
    if IGNORED in cell.metadata.get("tags", []):
        return []
    return [
        output.get("text") or {k: v for k, v in output.get("data", {}).items() if "widget" not in k}
        for output in cell.outputs
    ]
