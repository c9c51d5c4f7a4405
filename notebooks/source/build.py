"""Builds the notebooks from their Markdown sources.

    python notebooks/source/build.py            build and run every lesson
    python notebooks/source/build.py 00 01      build and run these lessons
    python notebooks/source/build.py --check    compare sources only, run nothing
    python notebooks/source/build.py --teacher FOLDER    notebooks for nbgrader, not run

Each source gives two notebooks: the learner's, with a stub in place of each answer, and the solved
one in `solutions/`. In a code cell,

    ### BEGIN SOLUTION           lines of the solved notebook
    ### END SOLUTION
    ### BEGIN STUB               lines of the learner's notebook, commented out
    ### END STUB

A notebook is byte for byte the same however often it is built.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

SOURCE = Path(__file__).parent
NOTEBOOKS = SOURCE.parent
WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
TIMEOUT = 120
"""Seconds that one cell may run."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Build the notebooks from their sources.")
    parser.add_argument("numbers", nargs="*", help="lessons to build, such as 01; all by default")
    parser.add_argument("--check", action="store_true", help="compare sources, run nothing")
    parser.add_argument(
        "--teacher", type=Path, metavar="FOLDER", help="write notebooks for nbgrader"
    )
    options = parser.parse_args(arguments)
    sources = lessons(options.numbers)
    if not sources:
        parser.error(f"no lesson is called {' or '.join(options.numbers)}")
    if options.teacher:
        for source in sources:
            notebook = graded(jupytext.read(source), source.stem)
            write(notebook, options.teacher / source.with_suffix(".ipynb").name)
        return 0
    for source in sources:
        for target, notebook in variants(source):
            if options.check:
                if not same_source(target, notebook):
                    name = target.relative_to(NOTEBOOKS)
                    print(
                        f"{name} is not what {source.name} builds: run build.py {source.name[:2]}"
                    )
                    return 1
            else:
                print(f"building {target.relative_to(NOTEBOOKS)}", flush=True)
                run(notebook, target.parent)
                write(notebook, target)
    return 0


def lessons(numbers: list[str]) -> list[Path]:
    """The sources of these lessons, or of all; `template.md` is none."""
    found = sorted(SOURCE.glob("[0-9][0-9]_*.md"))
    return [path for path in found if not numbers or path.name[:2] in numbers]


def variants(source: Path) -> Iterator[tuple[Path, NotebookNode]]:
    """The learner's and the solved notebook of a source, not yet run."""
    learner = NOTEBOOKS / source.with_suffix(".ipynb").name
    yield learner, notebook_of(source, solved=False)
    yield NOTEBOOKS / "solutions" / learner.name, notebook_of(source, solved=True)


def notebook_of(source: Path, *, solved: bool) -> NotebookNode:
    notebook = jupytext.read(source)
    for place, cell in enumerate(notebook.cells):
        cell.id = f"{source.stem}-{place:03}"
        if cell.cell_type == "code":
            cell.source = answered(cell.source, solved=solved)
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def answered(code: str, *, solved: bool) -> str:
    """A cell's code with its solution, or with its stub."""
    lines, part = [], None
    for line in code.splitlines():
        match line.strip():
            case "### BEGIN SOLUTION" | "### BEGIN STUB" as mark:
                part = mark.rpartition(" ")[2]
            case "### END SOLUTION" | "### END STUB":
                part = None
            case _ if part is None or (part == "SOLUTION" and solved):
                lines.append(line)
            case _ if part == "STUB" and not solved:
                indent, _, rest = line.partition("#")
                lines.append(indent + rest.removeprefix(" "))
    return "\n".join(lines).strip("\n")


def graded(notebook: NotebookNode, stem: str) -> NotebookNode:
    """The notebook for nbgrader, which strips the solutions and runs the checks itself.

    nbgrader gives full points to a cell that does not raise, so a check becomes an assertion.
    """
    for place, cell in enumerate(notebook.cells):
        cell.id = f"{stem}-{place:03}"
        is_solution = "### BEGIN SOLUTION" in cell.source
        is_check = cell.source.startswith("await check(")
        if cell.cell_type == "code" and (is_solution or is_check):
            cell.metadata["nbgrader"] = {
                "schema_version": 3,
                "grade_id": cell.id,
                "solution": is_solution,
                "grade": is_check,
                "locked": is_check,
                "task": False,
                **({"points": 1} if is_check else {}),
            }
        if is_check:
            cell.source = f"assert {cell.source}"
        cell.source = cell.source.replace("### BEGIN STUB", "# It was:").replace("### END STUB", "")
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def run(notebook: NotebookNode, folder: Path) -> None:
    """Run every cell in a fresh kernel; raises CellExecutionError if one fails."""
    folder.mkdir(exist_ok=True)
    NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    ).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
            output.get("metadata", {}).clear()
    notebook.metadata = nbformat.from_dict(METADATA)


def write(notebook: NotebookNode, target: Path) -> None:
    nbformat.validate(notebook)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def same_source(target: Path, notebook: NotebookNode) -> bool:
    if not target.exists():
        return False
    built = nbformat.read(target, as_version=4)
    return [(c.id, c.cell_type, c.source, c.metadata) for c in built.cells] == [
        (c.id, c.cell_type, c.source, c.metadata) for c in notebook.cells
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
