"""Lesson 04 in JupyterLab: the slider is moved, and another line of the source is marked."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser import CHROMIUM, all_have_run, error_outputs, page_of, run_all

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "04_starlette_source.ipynb"

if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("no Chromium on PATH (install it, or set CHROMIUM)", allow_module_level=True)


def test_step_through_by_key_by_mouse_and_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(NOTEBOOK, folder)
    with page_of(folder / NOTEBOOK.name, tmp_path) as page:
        run_all(page)
        all_have_run(page)
        assert error_outputs(page) == []
        output = page.locator(".jp-Cell-outputArea", has=page.get_by_role("slider"))
        slider, choice = output.get_by_role("slider"), output.get_by_role("combobox", name="line")
        marked, words = output.locator("[aria-current=step]"), output.get_by_role("status")
        expect(marked).to_have_count(1)
        expect(marked).to_contain_text("self.tasks = list(tasks) if tasks else []")
        last = int(float(slider.get_attribute("aria-valuemax") or 0))
        assert choice.locator("option").count() == last

        # By key, one step at a time: the marked line, the words and the list go along.
        slider.focus()
        page.keyboard.press("ArrowRight")
        expect(marked).to_contain_text("return super().add_task(func, *args, **kwargs)")
        expect(words).to_contain_text(f"Step 2 of {last}, before the response is sent")
        expect(words).to_contain_text("in a worker thread: line")
        expect(choice).to_have_value("2. BackgroundTasks.add_task: return super().add_task("
                                     "func, *args, **kwargs)")  # fmt: skip
        page.keyboard.press("End")
        expect(marked).to_contain_text("for task in self.tasks:")
        expect(words).to_contain_text(f"Step {last} of {last}, after the response is sent")

        # By mouse: the handle dragged to the left end.
        handle, bar = slider.bounding_box(), output.locator(".noUi-target").bounding_box()
        assert handle is not None
        assert bar is not None
        page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
        page.mouse.down()
        page.mouse.move(bar["x"], handle["y"] + handle["height"] / 2, steps=8)
        page.mouse.up()
        expect(words).to_contain_text(f"Step 1 of {last}, before the response is sent")
        expect(marked).to_contain_text("self.tasks = list(tasks) if tasks else []")

        # By name: the line that a response runs its background with.
        names = choice.locator("option").all_inner_texts()
        (place,) = [n for n, name in enumerate(names) if name.endswith("self.background()")]
        choice.select_option(index=place)
        expect(marked).to_contain_text("await self.background()")
        expect(words).to_contain_text("after the response is sent, on the event loop")
        expect(slider).to_have_attribute("aria-valuetext", str(place + 1))
        assert error_outputs(page) == []
