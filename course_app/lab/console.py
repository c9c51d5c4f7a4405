"""A form that sends requests to the app: choose a path operation, fill it in, press Send."""

import asyncio
import json
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import ipywidgets

from course_app.lab.drawing import LIVE
from course_app.lab.errors import LabError
from course_app.lab.operations import Field, Operation, operations_of

if TYPE_CHECKING:
    from course_app.lab.bench import Bench

OTHER = Operation(
    "GET",
    "any other path",
    (Field("method", "other", "GET"), Field("path", "other", "/")),
)
WIDE = ipywidgets.Layout(width="auto", min_width="240px", max_width="420px")


class Console:
    """The form as an ipywidgets widget; `bench` sends what it is filled with."""

    def __init__(self, bench: "Bench", app: Any) -> None:
        self._bench = bench
        self._operations = [*operations_of(app), OTHER]
        self._sending: set[asyncio.Task[None]] = set()
        self._inputs: list[tuple[Field, Any]] = []
        self._body: ipywidgets.Textarea | None = None
        self._choice = ipywidgets.Dropdown(
            options=[(operation.label, i) for i, operation in enumerate(self._operations)],
            value=0, description="request", layout=WIDE,
        )  # fmt: skip
        self._choice.observe(lambda _: self._show_fields(), names="value")
        self._button = ipywidgets.Button(
            description="Send", button_style="primary", icon="paper-plane"
        )
        self._button.on_click(lambda _: self._start())
        self._badge = ipywidgets.HTML()
        self._form = ipywidgets.VBox()
        row = ipywidgets.HBox([self._button, self._badge])
        self.widget = ipywidgets.VBox([self._choice, self._form, row])
        self._show_fields()

    @property
    def _operation(self) -> Operation:
        return self._operations[int(self._choice.value)]

    def _show_fields(self) -> None:
        self._inputs = [(field, input_for(field)) for field in self._operation.fields]
        self._body = None
        if self._operation.body is not None:
            self._body = ipywidgets.Textarea(
                self._operation.body, description="JSON body", rows=5, layout=WIDE
            )
        self._form.children = [box for _, box in self._inputs] + [self._body] * (
            self._body is not None
        )

    def _start(self) -> None:
        task = asyncio.get_running_loop().create_task(self._send())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self) -> None:
        """Send what the form says. A click that raises is silent in Jupyter, so nothing may."""
        self._say("waiting for the response …", LIVE.work)
        try:
            method, path, options = filled_in(self._operation, self._inputs, self._body)
            response = await self._bench.request(method, path, **options)
        except (LabError, ValueError) as error:
            self._say(str(error), LIVE.failed)
        except Exception as error:
            self._say(f"{type(error).__name__}: {error}", LIVE.failed)
        else:
            color = LIVE.done if response.status_code < 400 else LIVE.failed
            self._say(f"response {response.status_code}", color, response.text)

    def _say(self, words: str, color: str, body: str = "") -> None:
        shown = escape(body if len(body) <= 120 else body[:119] + "…")
        self._badge.value = (
            f'<span role="status" style="border: 2px solid {color}; border-radius: 4px; '
            f'padding: 2px 8px; font-weight: 600">{escape(words)}</span> <code>{shown}</code>'
        )


def input_for(field: Field) -> Any:
    label = f"{field.name}{' *' if field.required else ''}"
    if field.place == "file":
        return ipywidgets.FileUpload(description=label, layout=WIDE)
    return ipywidgets.Text(field.value, description=label, layout=WIDE)


def filled_in(
    operation: Operation, inputs: list[tuple[Field, Any]], body: Any
) -> tuple[str, str, dict[str, Any]]:
    """The method, the path and httpx's options for a filled-in form. Empty fields are left out.

    Raises ValueError, with a sentence, for a body that is no JSON.
    """
    places: dict[str, dict[str, Any]] = {}
    for field, box in inputs:
        if field.place == "file":
            for file in box.value:
                content = (file.name, bytes(file.content), file.type)
                places.setdefault("file", {})[field.name] = content
        elif box.value or field.place == "path":
            places.setdefault(field.place, {})[field.name] = box.value
    if operation is OTHER:
        return (
            places["other"].get("method", "GET"),
            places["other"].get("path", "/"),
            {},
        )
    path = operation.path
    for name, value in places.get("path", {}).items():
        path = path.replace("{" + name + "}", quote(value, safe=""))
    names = {
        "query": "params",
        "header": "headers",
        "cookie": "cookies",
        "form": "data",
        "file": "files",
    }
    options: dict[str, Any] = {
        names[place]: values for place, values in places.items() if place in names
    }
    if body is not None:
        try:
            options["json"] = json.loads(body.value)
        except ValueError as error:
            raise ValueError(f"The body is no JSON: {error}.") from None
    return operation.method, path, options
