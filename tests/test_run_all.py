"""Every notebook queued whole, as Run All does, twice in one kernel: nothing is left behind."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.kernels import fresh_kernel
from tests.support.run_all import COUNT, ask, code_cells, run_all

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb")) + sorted(
    ROOT.glob("notebooks/solutions/*.ipynb")
)
CLOSE = """
from course_app.lab import lab as _lab
if _lab._open is not None:
    _lab._open.close()
"""


def settled(client: Any, wanted: dict[str, Any] | None = None) -> dict[str, Any]:
    """The kernel's counts once they equal `wanted`, or have stayed the same for a second."""
    before: Any = None
    for _ in range(30):
        counts = ask(client, "counts()")
        if counts == wanted or (wanted is None and counts == before):
            return dict(counts)
        before = counts
        time.sleep(0.5)
    return dict(before)


@pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: str(path.relative_to(ROOT / "notebooks"))
)
def test_queued_whole_twice_in_one_kernel(path: Path, tmp_path: Path) -> None:
    cells = code_cells(path)
    with fresh_kernel(tmp_path) as (_, client):
        # What the process keeps for good (executors, the first import) is there before we count.
        run_all(client, [COUNT, "import course_app.exercises, course_app.lab, course_app.main"])
        empty = settled(client)
        counts = []
        for _ in range(2):
            replies = run_all(client, cells)
            failed = [r["content"].get("evalue") for r in replies if r["content"]["status"] != "ok"]
            assert failed == []
            counts.append(settled(client, counts[0] if counts else None))
        assert counts[1] == counts[0]
        run_all(client, [CLOSE])
        assert settled(client, empty) == empty
