"""Lesson 05 in JupyterLab: progress bars that are read, and a file sent by hand and followed."""

import os
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser import CHROMIUM, all_have_run, error_outputs, page_of, run_all

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "05_accepted.ipynb"

if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("no Chromium on PATH (install it, or set CHROMIUM)", allow_module_level=True)


def test_the_bars_are_read_and_a_file_is_sent_by_hand(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(NOTEBOOK, folder)
    text = tmp_path / "mine.txt"
    text.write_text("one two\n" * 40)
    with page_of(folder / NOTEBOOK.name, tmp_path) as page:
        run_all(page)
        done = page.get_by_role("progressbar", name="long-rain.txt: progress")
        expect(done).to_have_attribute("aria-valuenow", re.compile("[1-9]"), timeout=60_000)
        all_have_run(page)
        assert error_outputs(page) == []
        expect(done).to_have_attribute("aria-valuetext", "long-rain.txt: done, 100 %")
        expect(page.get_by_role("status").get_by_text("café.txt: failed")).to_be_visible()

        send = page.get_by_role("button", name="Send").last
        output = page.locator(".jp-Cell-outputArea", has=send).last
        output.get_by_role("combobox").first.select_option("POST /files")
        with page.expect_file_chooser() as chooser:
            output.get_by_role("button", name="file *").click()
        chooser.value.set_files(text)
        expect(output.get_by_role("button", name="file * (1)")).to_be_visible()
        send.click()
        status = output.get_by_role("status")
        expect(status).to_have_text("response 202")
        location = output.locator("code", has_text="Location: /jobs/")
        number = (location.text_content() or "").partition("/jobs/")[2]

        output.get_by_role("combobox").first.select_option("GET /jobs/{job_id}")
        output.get_by_role("textbox", name="job_id *").fill(number)
        send.click()
        expect(status).to_have_text("response 200")
        expect(output.locator("code", has_text='"running"')).to_be_visible()
        expect(output.get_by_text("count_words finished").first).to_be_visible(timeout=20_000)
