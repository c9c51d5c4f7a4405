"""`predict`: a question before a run, and a sentence about it after the run."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import ipywidgets

from course_app.exercises.checking import UnknownExercise, load_lesson

Outcome = Callable[[Any], str]
_outcomes: dict[str, Outcome] = {}
NO_TRACE = (
    "This cannot be scored: predict.score needs what the run has shown, such as "
    "trace = await lab.finished(), and got {}."
)


class Sentence(str):
    """A string that a notebook shows without quotation marks."""

    __slots__ = ()
    __repr__ = str.__str__


class Question:
    """A question with its choices: radio buttons in a live notebook, words in a saved one."""

    def __init__(self, question: str, choices: Mapping[str, str]) -> None:
        self.question = question
        self.choices = dict(choices)
        self._buttons = ipywidgets.RadioButtons(
            options=[(words, key) for key, words in self.choices.items()],
            index=None,
            tooltip=question,
            layout=ipywidgets.Layout(width="auto"),
        )
        heading = ipywidgets.HTML(f"<strong>{escape(question)}</strong>")
        self.widget = ipywidgets.VBox([heading, self._buttons])

    @property
    def prediction(self) -> str | None:
        """The key of the chosen choice, or None."""
        chosen: str | None = self._buttons.value
        return chosen

    @prediction.setter
    def prediction(self, key: str) -> None:
        self._buttons.value = key

    def __repr__(self) -> str:
        return "\n".join([self.question, *(f"  ( ) {words}" for words in self.choices.values())])

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = self.widget._repr_mimebundle_(**kwargs) or {}
        return {**bundle, "text/plain": repr(self)}


class Predict:
    """Asks questions and remembers the answers; the notebook's `predict`."""

    def __init__(self) -> None:
        self._asked: dict[str, Question] = {}

    def __call__(self, number: str, question: str, choices: Mapping[str, str]) -> Question:
        """Show a question; `choices` maps keys to the words of each choice.

        Asked again under the same number, it starts without a prediction.
        """
        self._asked[number] = Question(question, choices)
        return self._asked[number]

    def score(self, number: str, seen: Any) -> Sentence:
        """One sentence: what was predicted against what was seen, such as a Trace.

        Raises UnknownExercise, a ValueError, for a number that no lesson has.
        """
        load_lesson(number)
        if number not in _outcomes:
            raise UnknownExercise(f"There is no prediction {number!r} to score.")
        asked = self._asked.get(number)
        if asked is None or asked.prediction is None:
            return Sentence("No prediction made.")
        try:
            happened = _outcomes[number](seen)
        except (AttributeError, LookupError, TypeError, ValueError):
            return Sentence(NO_TRACE.format(type(seen).__name__))
        predicted = f"You predicted “{asked.choices[asked.prediction]}”"
        if happened == asked.prediction:
            return Sentence(f"{predicted}, and so it was.")
        if happened not in asked.choices:
            return Sentence(f"{predicted}. It was none of the choices.")
        return Sentence(f"{predicted}. It was: “{asked.choices[happened]}”.")


def outcome(number: str) -> Callable[[Outcome], Outcome]:
    """Register the function that says which choice's key is what was seen."""

    def register(function: Outcome) -> Outcome:
        _outcomes[number] = function
        return function

    return register


predict = Predict()
