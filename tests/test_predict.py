"""`predict`: a question before a run, a sentence after it, usable without a mouse."""

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.formatters import DisplayFormatter
from playwright.sync_api import expect

from course_app.exercises import UnknownExercise, predict
from course_app.exercises.predicting import Question
from course_app.lab import TaskRun, Trace
from tests.support.browser import CHROMIUM, all_have_run, error_outputs, page_of, run_all

CHOICES = {"response": "the response", "task": "the notification"}
HOSTILE = "<img src=x onerror=\"document.title = 'hacked'\">"
RESPONSE_FIRST = Trace("POST", "/", 200, 0.01, (TaskRun("work", 0.01, 3.0),))
TASK_FIRST = Trace("POST", "/", 200, 3.1, (TaskRun("work", 0.01, 3.0),))


def ask(chosen: str | None = None, number: str = "01.p1") -> Question:
    question = predict(number, "Which comes first?", CHOICES)
    if chosen is not None:
        question.prediction = chosen
    return question


@pytest.mark.parametrize(
    ("chosen", "trace", "sentence"),
    [
        ("response", RESPONSE_FIRST, "You predicted “the response”, and so it was."),
        ("task", TASK_FIRST, "You predicted “the notification”, and so it was."),
        ("task", RESPONSE_FIRST, "You predicted “the notification”. It was: “the response”."),
        ("response", TASK_FIRST, "You predicted “the response”. It was: “the notification”."),
        (None, RESPONSE_FIRST, "No prediction made."),
    ],
)
def test_one_sentence_against_what_happened(
    chosen: str | None, trace: Trace, sentence: str
) -> None:
    ask(chosen)
    assert predict.score("01.p1", trace) == sentence


def test_what_happened_was_none_of_the_choices() -> None:
    predict("01.p1", "Which comes first?", {"task": "the notification"}).prediction = "task"
    assert (
        predict.score("01.p1", RESPONSE_FIRST)
        == "You predicted “the notification”. It was none of the choices."
    )


def test_a_sentence_is_shown_without_quotation_marks() -> None:
    ask("response")
    shown, _ = DisplayFormatter().format(predict.score("01.p1", RESPONSE_FIRST))
    assert shown == {"text/plain": "You predicted “the response”, and so it was."}


def test_a_question_never_asked_has_no_prediction() -> None:
    from course_app.exercises.predicting import Predict

    assert Predict().score("00.p1", RESPONSE_FIRST) == "No prediction made."


def test_asked_again_it_starts_without_a_prediction() -> None:
    ask("response")
    again = ask()
    assert again.prediction is None
    assert predict.score("01.p1", RESPONSE_FIRST) == "No prediction made."


def test_the_prediction_of_one_question_is_not_that_of_another() -> None:
    ask("response", "01.p1")
    ask(None, "00.p1")
    assert predict.score("00.p1", RESPONSE_FIRST) == "No prediction made."
    assert predict.score("01.p1", RESPONSE_FIRST).startswith("You predicted")


def test_it_can_be_scored_twice_and_changed_in_between() -> None:
    question = ask("response")
    assert predict.score("01.p1", RESPONSE_FIRST) == predict.score("01.p1", RESPONSE_FIRST)
    question.prediction = "task"
    assert "It was" in predict.score("01.p1", RESPONSE_FIRST)


@pytest.mark.parametrize("number", ["01.p9", "99.p1", "", "nonsense", "01.1"])
def test_an_unknown_prediction_is_a_value_error(number: str) -> None:
    with pytest.raises(UnknownExercise, match="There is no prediction") as raised:
        predict.score(number, RESPONSE_FIRST)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("seen", [None, 42, "a trace", object()])
def test_what_is_no_trace_gets_a_sentence(seen: Any) -> None:
    ask("response")
    assert predict.score("01.p1", seen) == (
        "This cannot be scored: predict.score needs what the run has shown, such as "
        f"trace = await lab.finished(), and got {type(seen).__name__}."
    )


def test_a_saved_notebook_shows_the_question_in_words() -> None:
    shown, _ = DisplayFormatter().format(ask())
    assert shown["text/plain"] == ("Which comes first?\n  ( ) the response\n  ( ) the notification")
    assert "application/vnd.jupyter.widget-view+json" in shown


def test_hostile_text_is_text() -> None:
    question = predict("01.p1", HOSTILE, {"a": HOSTILE})
    heading, _ = question.widget.children
    assert "<img" not in heading.value
    assert "&lt;img" in heading.value


@pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="no Chromium on PATH"
)
def test_in_jupyterlab_by_keyboard(tmp_path: Path) -> None:
    """Tab reaches every choice, Space chooses it, and nothing hostile is run."""
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "question.ipynb"
    choices = {"response": "the response", "task": "the notification", "x": HOSTILE}
    cells = [
        f"from course_app.exercises import predict\nq = predict('01.p1', 'First? {HOSTILE[:4]}>',"
        f" {choices!r})\nq",
        "q.prediction",
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}},
    )
    nbformat.write(notebook, path)
    with page_of(path, tmp_path) as page:
        title = page.title()
        run_all(page)
        all_have_run(page)
        assert error_outputs(page) == []
        output = page.locator(".jp-CodeCell").first.locator(".jp-OutputArea")
        expect(output.get_by_text("First? <img>")).to_be_visible()
        radios = output.get_by_role("radio")
        expect(radios).to_have_count(3)
        expect(output.get_by_role("radio", name=HOSTILE)).to_be_visible()
        assert [radio.is_checked() for radio in radios.all()] == [False] * 3
        chosen = output.get_by_role("radio", name="the notification")
        output.click(position={"x": 2, "y": 2})
        for _ in range(12):
            page.keyboard.press("Tab")
            if chosen.evaluate("radio => radio === document.activeElement"):
                break
        expect(chosen).to_be_focused()
        page.keyboard.press("Space")
        expect(chosen).to_be_checked()
        assert [radio.is_checked() for radio in radios.all()] == [False, True, False]
        assert page.locator("img[src=x]").count() == 0
        assert page.title() == title
        # The kernel knows the choice: the second cell shows it when it is run again.
        page.locator(".jp-CodeCell").nth(1).locator(".jp-InputArea-editor").click()
        page.keyboard.press("Control+Enter")
        second = page.locator(".jp-CodeCell").nth(1)
        expect(second.locator(".jp-OutputArea-output")).to_have_text("'task'")
