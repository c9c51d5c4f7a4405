"""What several test files need."""

from pathlib import Path

import pytest


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answers and tasks write below the current folder: give each test one of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
