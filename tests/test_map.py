"""README and lesson 00 list every lesson, with the minutes that its own first lines say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "notebooks" / "source").glob("[0-9]*.md"))


def minutes_of(source: Path) -> str:
    found = re.search(r"^\*\*(\d+) minutes\b", source.read_text(), re.MULTILINE)
    assert found, f"{source.name} does not say how long it takes"
    return found[1]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_lesson_is_listed_with_its_minutes(source: Path) -> None:
    number, minutes = source.name[:2], minutes_of(source)
    readme = (ROOT / "README.md").read_text()
    row = rf"^\| {number} \| \[[^]]+\]\(notebooks/{source.stem}\.ipynb\): .+ \| {minutes} \|$"
    assert re.search(row, readme, re.MULTILINE), f"README has no row {row}"
    start = SOURCES[0].read_text()
    assert re.search(rf"^\| {number} .+ \| {minutes} \|$", start, re.MULTILINE)


def test_no_lesson_is_listed_that_is_not_there() -> None:
    linked = re.findall(r"\(notebooks/(\d\d_\w+)\.ipynb\)", (ROOT / "README.md").read_text())
    assert sorted(set(linked)) == [source.stem for source in SOURCES]
