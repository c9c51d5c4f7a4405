"""A progress bar for a job that is asked, again and again, how far it is."""

from html import escape
from typing import Any

import ipywidgets

from course_app.lab.drawing import LIVE
from course_app.lab.trace import printable

WORDS = "A progress bar: it appears when you run this cell."
COLORS = {"done": LIVE.done, "failed": LIVE.failed}


class ProgressBar:
    """Shows one job's state and progress; as the last line of a cell it appears below it.

    A screen reader finds a progress bar with a name and a value, and is told of each new state,
    though not of each per cent.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.state = "nothing sent yet"
        self.percent = 0.0
        self._bar = ipywidgets.HTML()
        self._words = ipywidgets.HTML()
        self.widget = ipywidgets.VBox([self._bar, self._words])
        self.show(self.state)

    def show(self, state: str, percent: float | None = None) -> None:
        """Draw a state, such as "running", and a progress from 0 to 100, or as far as it was."""
        self.state = state
        self.percent = self.percent if percent is None else min(max(percent, 0.0), 100.0)
        self._bar.value = drawn(self.label, self.state, self.percent)
        self._words.value = f'<span role="status">{words(self.label, self.state)}</span>'

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = self.widget._repr_mimebundle_(**kwargs) or {}
        return {**bundle, "text/plain": WORDS}

    def __repr__(self) -> str:
        return WORDS


def words(label: str, state: str) -> str:
    return escape(printable(f"{label}: {state}"))


def drawn(label: str, state: str, percent: float) -> str:
    """The bar as HTML. It says its per cent in figures too, so that colour is never alone."""
    said = words(label, f"{state}, {percent:.0f} %")
    filled = (
        f"width: {percent:.0f}%; height: 100%; border-radius: 6px; "
        f"background: {COLORS.get(state, LIVE.work)}"
    )
    frame = f"width: 320px; height: 12px; border: 1px solid {LIVE.faint}; border-radius: 7px"
    return (
        '<div style="display: flex; gap: 8px; align-items: center">'
        f'<div role="progressbar" aria-label="{words(label, "progress")}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{percent:.0f}" aria-valuetext="{said}" '
        f'style="{frame}"><div style="{filled}"></div></div>'
        f'<span aria-hidden="true">{percent:.0f} %</span></div>'
    )
