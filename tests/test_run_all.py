"""Every lesson queued whole, as Run All does, and then its solved version in the same kernel.

What the first run left behind, or what only works once, shows in the second one.
"""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.kernels import fresh_kernel
from tests.support.run_all import COUNT, ask, code_cells, run_all

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_queued_whole_and_then_solved_in_one_kernel(path: Path, tmp_path: Path) -> None:
    solved = path.parent / "solutions" / path.name
    with fresh_kernel(tmp_path) as (_, client):
        # What the process keeps for good (executors, the first import) is there before we count.
        run_all(client, [COUNT, "import course_app.exercises, course_app.lab, course_app.main"])
        empty = settled(client)
        counts = []
        for version in (path, solved):
            replies = run_all(client, code_cells(version))
            failed = [r["content"].get("evalue") for r in replies if r["content"]["status"] != "ok"]
            assert failed == []
            counts.append(settled(client, counts[0] if counts else None))
        assert counts[1] == counts[0]
        run_all(client, [CLOSE])
        assert settled(client, empty) == empty
