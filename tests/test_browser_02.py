"""Lesson 02 in JupyterLab: the heartbeat is drawn live, its stall is seen, and Send works."""

import os
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import CHROMIUM, all_have_run, error_outputs, page_of, run_all

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "02_async_function.ipynb"

if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("no Chromium on PATH (install it, or set CHROMIUM)", allow_module_level=True)
STALLED = """() => {
    const words = [...document.querySelectorAll('figcaption')].map(node => node.textContent);
    const badges = [...document.querySelectorAll('[role=status]')].map(node => node.textContent);
    return words.some(text => /^No answer for \\d\\.\\d s, while write_slowly runs\\.$/.test(text))
        && words.includes('The response arrived; write_slowly is still running.')
        && badges.includes('response 200');
}"""


def test_the_stall_is_seen_live(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(NOTEBOOK, folder)
    with page_of(folder / NOTEBOOK.name, tmp_path) as page:
        run_all(page)
        all_have_run(page)
        assert error_outputs(page) == []
        see_what_run_all_left(page)
        press_and_watch(page)
        assert error_outputs(page) == []


def see_what_run_all_left(page: Page) -> None:
    """The pictures that stay: of the task that blocks, and of the three that do not."""
    beats = page.get_by_role("button", name="Ask /ping for 10 s")
    expect(beats).to_have_count(3)
    words = page.locator("figcaption")
    expect(words.filter(has_text=": none came while write_slowly ran.")).to_have_count(1)
    expect(words.filter(has_text="Every answer came at once")).to_have_count(1)
    expect(words.filter(has_text="Nothing asked yet.")).to_have_count(1)
    page.get_by_label("show details").first.check()
    first = page.locator(".jp-Cell-outputArea", has=page.get_by_label("show details")).first
    picture = first.get_by_role("img").first
    expect(picture).to_contain_text("write_notification (worker thread)")
    expect(picture).to_contain_text("push_notification (event loop)")


def press_and_watch(page: Page) -> None:
    """By hand: the heartbeat first, then Send, in the last cell."""
    ask = page.get_by_role("button", name="Ask /ping for 10 s").last
    send = page.get_by_role("button", name="Send").last
    output = page.locator(".jp-Cell-outputArea", has=ask).last
    heartbeat = output.locator("figure", has_text="ten times a second")
    words = heartbeat.locator("figcaption")
    ask.click()
    expect(words).to_contain_text("Every answer came at once", timeout=5_000)
    expect(ask).to_be_disabled()
    send.click()
    # While the task holds the loop: the response is there, and the questions wait. All of it in
    # one moment, looked for in the page at every frame.
    page.wait_for_function(STALLED, timeout=8_000)
    # Once it has let go, all of them are answered.
    expect(words).to_have_text(
        re.compile(r"The longest answer took [12]\.\d s: none came while write_slowly ran\."),
        timeout=5_000,
    )
    picture = heartbeat.get_by_role("img")
    expect(picture).to_contain_text("write_slowly (event loop): ✓ done in 2.")
    tall = picture.locator("rect[style='fill: #d64545']")
    assert tall.count() >= 8
    expect(ask).to_be_enabled(timeout=15_000)
    expect(words).to_contain_text("The longest answer took")
