"""The committed notebooks are what their sources build, and every code cell has been run."""

import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb")) + sorted(
    ROOT.glob("notebooks/solutions/*.ipynb")
)
sys.path.insert(0, str(ROOT / "notebooks" / "source"))

import build  # noqa: E402


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_source_has_both_notebooks() -> None:
    built = {target for source in build.lessons([]) for target, _ in build.variants(source)}
    assert built == set(NOTEBOOKS)


@pytest.mark.parametrize("source", build.lessons([]), ids=lambda source: source.stem)
def test_the_notebooks_are_built_from_the_source(source: Path) -> None:
    for target, notebook in build.variants(source):
        assert build.same_source(target, notebook), f"run build.py {source.name[:2]}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_every_code_cell_was_executed(path: Path) -> None:
    """Nbval does not compare a cell without an execution count."""
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code, "no code cell at all"
    assert [cell.id for cell in code if cell.execution_count is None] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_no_stored_output_holds_an_error_a_path_or_a_widget(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error" or "raises-exception" in cell.metadata.get(
                "tags", []
            )
            assert build.WIDGET not in output.get("data", {})
            assert str(ROOT) not in str(output)
            assert output.get("name") != "stderr", cell.id
