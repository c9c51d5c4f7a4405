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
from course_app.lab.trace import printable

if TYPE_CHECKING:
    from course_app.lab.bench import Bench

OTHER = Operation(
    "GET",
    "any other path",
    (Field("method", "other", "GET"), Field("path", "other", "/")),
)
PLACES = {
    "path": "", "query": "params", "header": "headers", "cookie": "", "form": "data", "other": "",
}  # fmt: skip
"""Where a field belongs, and which of httpx's options takes it as it is."""
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
            description="Send", button_style="primary", icon="paper-plane",
            layout=ipywidgets.Layout(flex="none"),
        )  # fmt: skip
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
        gone, draft = self._form.children, self._operation.body
        self._inputs = [(field, input_for(field)) for field in self._operation.fields]
        self._body = None
        if draft is not None:
            self._body = ipywidgets.Textarea(draft, description="JSON body", rows=5, layout=WIDE)
        bodies = [] if self._body is None else [self._body]
        self._form.children = [*(box for _, box in self._inputs), *bodies]
        for box in gone:
            box.close()

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
            start = response.content[:500].decode(response.encoding or "utf-8", errors="replace")
            location = response.headers.get("location")
            where = f"Location: {location}" if location else ""
            self._say(f"response {response.status_code}", color, where, start)

    def _say(self, words: str, color: str, *notes: str) -> None:
        starts = [note if len(note) <= 120 else note[:119] + "…" for note in notes if note]
        codes = [f"<code>{escape(printable(start))}</code>" for start in starts]
        self._badge.value = (
            f'<span role="status" style="border: 2px solid {color}; border-radius: 4px; '
            f'padding: 2px 8px; font-weight: 600">{escape(printable(words))}</span> '
            f'<span style="overflow-wrap: anywhere">{" ".join(codes)}</span>'
        )


def input_for(field: Field) -> Any:
    label = f"{field.name}{' *' if field.required else ''}"
    if field.place == "file":
        return ipywidgets.FileUpload(description=label, multiple=field.many, layout=WIDE)
    hint = "several, separated by commas" if field.many else ""
    return ipywidgets.Text(field.value, description=label, placeholder=hint, layout=WIDE)


def filled_in(
    operation: Operation, inputs: list[tuple[Field, Any]], body: Any
) -> tuple[str, str, dict[str, Any]]:
    """The method, the path and httpx's options for a filled-in form. Empty fields are left out.

    Raises ValueError, with a sentence, for a body that is no JSON or a path with a gap.
    """
    places: dict[str, dict[str, Any]] = {place: {} for place in PLACES}
    files: list[tuple[str, tuple[str, bytes, str]]] = []
    for field, box in inputs:
        if field.place == "file":
            files += [(field.name, (f.name, bytes(f.content), f.type)) for f in box.value]
        elif box.value:
            value = [part.strip() for part in box.value.split(",")] if field.many else box.value
            places[field.place][field.name] = value
        elif field.place == "path":
            raise ValueError(f"Fill in {field.name}: it is a part of the path.")
    if operation is OTHER:
        return places["other"].get("method", "GET"), places["other"].get("path", "/"), {}
    path = operation.path
    for name, value in places["path"].items():
        path = path.replace("{" + name + "}", quote(value, safe=""))
    options: dict[str, Any] = {
        option: places[place] for place, option in PLACES.items() if option and places[place]
    }
    if cookies := places["cookie"]:
        pairs = "; ".join(f"{name}={value}" for name, value in cookies.items())
        options["headers"] = {**options.get("headers", {}), "cookie": pairs}
    if files:
        options["files"] = files
    if body is not None and body.value.strip():
        try:
            options["json"] = json.loads(body.value)
        except ValueError as error:
            raise ValueError(f"The body is no JSON: {error}.") from None
    return operation.method, path, options
