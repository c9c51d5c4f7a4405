"""Lessons in JupyterLab: Run All, then Send; the page shows the response before the task's end."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import CHROMIUM, all_have_run, error_outputs, page_of, run_all

ROOT = Path(__file__).parent.parent

if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("no Chromium on PATH (install it, or set CHROMIUM)", allow_module_level=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the learner's notebooks: JupyterLab changes the one that it opens."""
    copies = tmp_path / "notebooks"
    copies.mkdir()
    for path in ROOT.glob("notebooks/*.ipynb"):
        shutil.copy(path, copies)
    return copies


def send_and_watch(page: Page, task: str) -> None:
    """Press the page's last Send button and read the words under its picture at two moments."""
    button = page.get_by_role("button", name="Send").last
    output = page.locator(".jp-Cell-outputArea", has=button).last
    words = output.locator("figcaption").first
    button.click()
    # The first moment: the response is there, by badge, flag and words; the task goes on.
    expect(words).to_have_text(f"The response arrived; {task} is still running.", timeout=2_500)
    expect(output.get_by_role("status")).to_have_text("response 200")
    picture = output.get_by_role("img").first
    expect(picture).to_contain_text("response 200 after")
    expect(picture).to_contain_text("running")
    assert "done" not in picture.text_content()
    # The second moment: the task has ended, after the response.
    expect(words).to_have_text(
        f"The response arrived first; {task} finished after it.", timeout=9_000
    )
    expect(picture).to_contain_text("done in 3.")
    expect(picture).not_to_contain_text("running")


@pytest.mark.parametrize("name", ["00_start_here", "01_plain_function"])
def test_send_after_run_all(folder: Path, tmp_path: Path, name: str) -> None:
    with page_of(folder / f"{name}.ipynb", tmp_path) as page:
        run_all(page)
        all_have_run(page)
        assert error_outputs(page) == []
        send_and_watch(page, "write_notification")
        assert error_outputs(page) == []
