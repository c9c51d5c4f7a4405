"""Lesson 01 says what is true: with a fact falsified, its notebook turns red."""

from pathlib import Path

import pytest

from tests.support.mutants import Mutant, red_cells, survivors

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "01_plain_function.ipynb"
ROUNDS: list[dict[str, Mutant]] = [
    {
        "the slow endpoint is given a task": (
            {
                "def send_email_slowly(email: str, message": (
                    "def send_email_slowly(email: str, background_tasks: BackgroundTasks, message"
                ),
                "    write_notification(email, message)\n": (
                    "    background_tasks.add_task(write_notification, email, message)\n"
                ),
            },
            'params={"message": "hello"})\ntrace = await lab.finished()',
        ),
        "the task is called directly": (
            {
                "    background_tasks.add_task(write_notification, email, message=message)": (
                    "    write_notification(email, message=message)"
                )
            },
            "trace = await lab.finished()\ntrace",
        ),
        "the task does not change the app's list": (
            {"    sent_app.state.sent.append(email)": "    pass"},
            "lab = Lab(sent_app)",
        ),
        "the log is opened for appending": (
            {'open(OUTBOX / "visits.txt", mode="w")': 'open(OUTBOX / "visits.txt", mode="a")'},
            "lab = Lab(visit_app)",
        ),
    },
]


@pytest.mark.parametrize("mutants", ROUNDS, ids="; ".join)
def test_falsified_facts_turn_the_notebook_red(mutants: dict[str, Mutant]) -> None:
    assert survivors(NOTEBOOK, mutants) == []


def test_the_notebook_as_it_stands_is_green() -> None:
    assert red_cells(NOTEBOOK, {}) == []
