"""Step through the lines that ran: a slider, a list, and the source with one line marked."""

from functools import cached_property
from html import escape
from typing import Any

import ipywidgets

from course_app.lab.bench import Bench
from course_app.lab.errors import LabError, stoppable
from course_app.lab.source_steps import Step, about_tasks, clipped, draw, table, words
from course_app.lab.source_tracer import LineTracer

STOPPED = "You stopped the recording. Its server is closed."
WIDE = ipywidgets.Layout(width="auto", max_width="640px")


async def step_through(app: Any, method: str, path: str, **options: Any) -> "Walk":
    """Send one request to the app, on a server of its own, and record the lines that serve it.

    `options` are those of `httpx.Client.request`. Raises AppError if the app cannot be started,
    RequestError if no response comes, LabError if no line of Starlette's took part.
    """
    tracer = LineTracer()
    bench = Bench(app)
    try:
        bench.server.app.app = tracer.watching(bench.server.app.app)
        with stoppable(STOPPED), tracer.recording(bench.server.thread):
            await bench.request(method, path, **options)
            await bench.finished()
    finally:
        bench.close()
    steps = about_tasks(tracer.steps)
    if not steps:
        raise LabError(
            f"{method} {path} was served without a line of Starlette's responses: is it an app "
            "that sends its response by itself?"
        )
    return Walk(steps)


class Walk:
    """The steps of one request. As the last line of a cell: a slider that goes through them."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps

    @property
    def lines(self) -> tuple[str, ...]:
        """The code of each step, in the order in which it ran."""
        return tuple(step.code for step in self.steps)

    def __str__(self) -> str:
        """The steps in words, in order, without line numbers."""
        return table(self.steps)

    __repr__ = __str__

    @cached_property
    def view(self) -> "StepView":
        return StepView(self.steps)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = self.view.widget._repr_mimebundle_(**kwargs) or {}
        return {**bundle, "text/plain": str(self)}


class StepView:
    """The slider and the source below it. The list says the same and needs no picture: it is a
    control that the browser itself brings, with a name, for the keyboard and a screen reader.
    """

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self._steps = steps
        self.slider = ipywidgets.IntSlider(
            value=1, min=1, max=len(steps), description="step", layout=WIDE
        )
        self.choice = ipywidgets.Dropdown(
            options=[
                (clipped(f"{place}. {step.function.name}: {step.code}", 88), place)
                for place, step in enumerate(steps, start=1)
            ],
            value=1, description="line", layout=WIDE,
        )  # fmt: skip
        self.words = ipywidgets.HTML()
        self.source = ipywidgets.HTML(layout=ipywidgets.Layout(max_width="860px"))
        self.slider.observe(lambda change: self.show(change["new"]), names="value")
        self.choice.observe(lambda change: self.show(change["new"]), names="value")
        self.widget = ipywidgets.VBox([self.slider, self.choice, self.words, self.source])
        self.show(1)

    def show(self, place: int) -> None:
        """Mark the line of this step, counted from 1."""
        try:
            self.slider.value = self.choice.value = place
            self.words.value = words(self._steps, place)
            self.source.value = draw(self._steps[place - 1])
        except Exception as error:  # Jupyter would drop it, and the picture would stand still
            self.words.value = f"<p>The step cannot be shown: {escape(repr(error))}</p>"
