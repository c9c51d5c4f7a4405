"""The committed notebooks are what their sources build, and every code cell has been run."""

import shutil
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
def test_no_code_block_of_the_text_is_cut_in_two(path: Path) -> None:
    """Two blank lines end a cell of text, also within a code block; `#region` keeps it whole."""
    for cell in nbformat.read(path, as_version=4).cells:
        fences = [line for line in cell.source.splitlines() if line.startswith(("~~~", "```"))]
        assert cell.cell_type != "markdown" or len(fences) % 2 == 0, cell.source


def test_a_build_is_the_same_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = (ROOT / "notebooks" / "00_start_here.ipynb").read_bytes()
    monkeypatch.setattr(build, "NOTEBOOKS", tmp_path)
    assert build.main(["00"]) == 0
    again = (tmp_path / "00_start_here.ipynb").read_bytes()
    environment = build.nbformat.reads(committed, 4).cells[-2]
    if build.nbformat.reads(again, 4).cells[-2] == environment:  # it holds the versions in use
        assert again == committed
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.ipynb")}
    assert build.main(["00"]) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.ipynb")} == first
    assert len(first) == 2


def test_check_finds_a_notebook_that_its_source_does_not_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(
        ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("outbox")
    )
    monkeypatch.setattr(build, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(build, "SOURCE", tmp_path / "notebooks" / "source")
    assert build.main(["--check"]) == 0
    source = tmp_path / "notebooks" / "source" / "01_plain_function.md"
    source.write_text(source.read_text().replace("time.sleep(3)", "time.sleep(2)"))
    assert build.main(["--check"]) == 1
    assert "run build.py 01" in capsys.readouterr().out


def test_the_teachers_notebooks_keep_the_solutions_and_assert_the_checks(tmp_path: Path) -> None:
    assert build.main(["01", "--teacher", str(tmp_path)]) == 0
    cells = nbformat.read(tmp_path / "01_plain_function.ipynb", as_version=4).cells
    graded = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert [cell.source for cell in graded] == [
        'assert await check("01.1", report_app)',
        'assert await check("01.2", visit_app)',
    ]
    solutions = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert len(solutions) == 2
    assert all("### BEGIN SOLUTION" in cell.source for cell in solutions)


def test_a_stub_stands_in_for_the_solution() -> None:
    code = "a = 1\n### BEGIN SOLUTION\nb = 2\n### END SOLUTION\n"
    code += "### BEGIN STUB\n# b = None\n### END STUB"
    assert build.answered(code, solved=True) == "a = 1\nb = 2"
    assert build.answered(code, solved=False) == "a = 1\nb = None"


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
