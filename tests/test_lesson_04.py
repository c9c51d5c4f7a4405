"""Lesson 04 says what is true: with a fact falsified, its notebook turns red."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.support.mutants import Mutant, survivors

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "04_starlette_source.ipynb"
PRELUDE = """
import fastapi.routing
from fastapi import BackgroundTasks
from starlette.background import BackgroundTask
from course_app.lab.source import in_source
"""
CHANGED_RESPONSE = """
class Response:
    async def __call__(self, scope, receive, send):
        await self.background()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b""})
"""
ROUNDS: list[dict[str, Mutant]] = [
    {
        "the task is called inline": (
            {
                '    background_tasks.add_task(write_notification, email, message="hello")': (
                    '    write_notification(email, message="hello")'
                )
            },
            'response = await lab.post("/email/ada@example.com")',
        ),
        "the tasks are added in another order": (
            {
                'background_tasks.add_task(greet, "Grace")\nbackground_tasks.add_task(fail)': (
                    'background_tasks.add_task(fail)\nbackground_tasks.add_task(greet, "Grace")'
                )
            },
            'background_tasks.add_task(greet, "Hedy")',
        ),
        "the response of one's own has a background already": (
            {
                '= JSONResponse({"ok": True})\n': (
                    '= JSONResponse({"ok": True}, background=BackgroundTask(greet, "Ada"))\n'
                )
            },
            "kept = {}",
        ),
        "the Starlette response has no background": (
            {', background=BackgroundTask(write_log, "hello"))': ")"},
            'response = await lab.post("/log")',
        ),
    },
    {
        "the task is made async def": (
            {
                "def write_notification(email: str, message": (
                    "async def write_notification(email: str, message"
                )
            },
            'walk = await step_through(app, "POST", "/email/ada@example.com")',
        ),
    },
    {
        "the endpoint is made async def": (
            {"def send_email(": "async def send_email("},
            'walk = await step_through(app, "POST", "/email/ada@example.com")',
        ),
    },
]


@pytest.mark.parametrize("mutants", ROUNDS, ids="; ".join)
def test_falsified_facts_turn_the_notebook_red(mutants: dict[str, Mutant]) -> None:
    assert survivors(NOTEBOOK, mutants) == []


def test_a_changed_source_stops_the_notebook_with_a_sentence() -> None:
    """The lesson's assertions, on a response that runs its tasks before it is sent."""
    lesson = nbformat.read(NOTEBOOK, as_version=4).cells
    (assertions,) = [cell.source for cell in lesson if "in_source(Response" in cell.source]
    cells = [PRELUDE, CHANGED_RESPONSE, assertions]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.raises(CellExecutionError) as caught:
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    assert caught.value.ename == "SourceChanged"
    assert caught.value.evalue == (
        "Response.__call__ in __main__ has changed: it does not say `await self.background()` "
        "after `http.response.body`. "
        "Believe the source that you see, not what this lesson says about it."
    )
    # What the learner sees is this sentence, and no frames.
    assert (
        "".join(notebook.cells[2].outputs[0].traceback) == f"SourceChanged: {caught.value.evalue}"
    )
