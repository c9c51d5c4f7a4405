"""Lesson 01 says what is true: with a fact falsified, its notebook turns red."""

from pathlib import Path

import pytest

from tests.support.mutants import cells_that_turn_red

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "01_plain_function.ipynb"
MUTANTS = {
    "the task is called directly": {
        "    background_tasks.add_task(write_notification, email, message=message)": (
            "    write_notification(email, message=message)"
        )
    },
    "the slow endpoint is given a task": {
        "def send_email_slowly(email: str, message": (
            "def send_email_slowly(email: str, background_tasks: BackgroundTasks, message"
        ),
        "    write_notification(email, message)\n": (
            "    background_tasks.add_task(write_notification, email, message)\n"
        ),
    },
    "the log is opened for appending": {
        'with open(OUTBOX / "visits.txt", mode="w")': 'with open(OUTBOX / "visits.txt", mode="a")'
    },
    "the task does not change the app's list": {
        "    sent_app.state.sent.append(email)": "    pass"
    },
}


@pytest.mark.parametrize("changes", MUTANTS.values(), ids=MUTANTS.keys())
def test_a_falsified_fact_turns_the_notebook_red(changes: dict[str, str]) -> None:
    assert cells_that_turn_red(NOTEBOOK, changes) != []


def test_the_notebook_as_it_stands_is_green() -> None:
    assert cells_that_turn_red(NOTEBOOK, {}) == []
