"""What the form can ask of an app is read from the app's own OpenAPI description."""

import datetime
import enum
import json
import uuid
from typing import Annotated, Any, Literal, Optional

import pytest
from fastapi import Body, Cookie, FastAPI, Header, Query
from pydantic import BaseModel, Field

from course_app.lab import Bench
from course_app.lab.operations import Field as FormField
from course_app.lab.operations import Operation, operations_of
from tests.support.benches import on_a_bench


class Color(enum.Enum):
    red = "red"
    blue = "blue"


class Address(BaseModel):
    street: str
    number: int = 3
    color: Color


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []
    left: Optional["Tree"] = None
    right: "Tree | None"


class Everything(BaseModel):
    email: str
    at_least: int = Field(ge=5)
    address: Address
    nothing: str | None = None
    either: int | str
    several: list[Address]
    mapping: dict[str, int]
    literal: Literal["p", "q"]
    constant: Literal[4]
    flag: bool
    anything: Any
    pair: tuple[int, str]
    day: datetime.date
    moment: datetime.datetime
    number: uuid.UUID
    exemplary: Annotated[str, Field(examples=["given"])]


def app() -> FastAPI:
    app = FastAPI()

    @app.post("/email/{email}/{number}")
    def parameters(
        email: str,
        number: int,
        need: int,
        maybe: str | None = None,
        flag: bool = True,
        tags: Annotated[list[str], Query()] = ["a", "b"],  # noqa: B006
        color: Color = Color.blue,
        x_token: Annotated[str, Header()] = "secret",
        session: Annotated[str | None, Cookie()] = None,
        example: Annotated[str | None, Query(examples=["like this"])] = None,
    ) -> None: ...

    @app.post("/everything")
    def everything(body: Everything) -> None: ...

    @app.post("/tree")
    def tree(body: Tree) -> None: ...

    @app.put("/two")
    def two(a: Address, b: Address) -> None: ...

    @app.patch("/list")
    def several(body: list[int]) -> None: ...

    @app.delete("/optional")
    def optional(body: Address | None = None) -> None: ...

    @app.post("/raw")
    def raw(body: Annotated[Any, Body()]) -> None: ...

    @app.get("/hidden", include_in_schema=False)
    def hidden() -> None: ...

    return app


def found(path: str) -> Operation:
    return next(operation for operation in operations_of(app()) if operation.path == path)


def test_every_path_operation_is_offered() -> None:
    assert [operation.label for operation in operations_of(app())] == [
        "POST /email/{email}/{number}",
        "POST /everything",
        "POST /tree",
        "PUT /two",
        "PATCH /list",
        "DELETE /optional",
        "POST /raw",
    ]


def test_parameters() -> None:
    assert set(found("/email/{email}/{number}").fields) == {
        FormField("email", "path", "ada@example.com", required=True),
        FormField("number", "path", "1", required=True),
        FormField("need", "query", "1", required=True),
        FormField("maybe", "query"),
        FormField("flag", "query", "True"),
        FormField("tags", "query", "a, b", many=True),
        FormField("color", "query", "blue"),
        FormField("x-token", "header", "secret"),
        FormField("session", "cookie"),
        FormField("example", "query", "like this"),
    }


def test_the_draft_of_a_body_is_accepted_by_the_app() -> None:
    async def story(bench: Bench) -> None:
        drafts = [operation for operation in operations_of(app()) if operation.body is not None]
        assert len(drafts) == 6
        for operation in drafts:
            body = json.loads(operation.body or "")
            answer = await bench.request(operation.method, operation.path, json=body)
            assert answer.status_code == 200, (operation.body, answer.json())

    on_a_bench(app(), story)


def document(path_item: Any, **parts: Any) -> Any:
    class App:
        def openapi(self) -> Any:
            return {"paths": {"/": path_item}, **parts}

    return App()


def test_a_form_with_files() -> None:
    form = {
        "type": "object",
        "required": ["name", "file"],
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer", "default": 3},
            "file": {"type": "string", "contentMediaType": "application/octet-stream"},
            "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
            "maybe": {"anyOf": [{"type": "string", "format": "binary"}, {"type": "null"}]},
        },
    }
    content = {"multipart/form-data": {"schema": {"$ref": "#/components/schemas/Form"}}}
    app = document(
        {"post": {"requestBody": {"content": content}}}, components={"schemas": {"Form": form}}
    )
    assert operations_of(app) == [
        Operation(
            "POST",
            "/",
            (
                FormField("name", "form", "name", required=True),
                FormField("age", "form", "3"),
                FormField("file", "file", required=True),
                FormField("files", "file", many=True),
                FormField("maybe", "file"),
            ),
        )
    ]


def test_parameters_of_a_whole_path_and_by_reference() -> None:
    shared = [{"$ref": "#/components/parameters/Page"}]
    page = {"name": "page", "in": "query", "required": True, "schema": {"type": "integer"}}
    app = document(
        {"parameters": shared, "get": {}, "summary": "x"}, components={"parameters": {"Page": page}}
    )
    assert operations_of(app) == [
        Operation("GET", "/", (FormField("page", "query", "1", required=True),))
    ]


def json_body(schema: Any, **parts: Any) -> Any:
    content = {"application/json": {"schema": schema}}
    return document({"post": {"requestBody": {"content": content}}}, **parts)


NO_DESCRIPTION = {
    "no FastAPI app": object(),
    "no paths": document(None),
    "no operation": document({"get": None}),
    "a parameter without a name": document({"get": {"parameters": [{"in": "query"}]}}),
    "a reference to nothing": json_body({"$ref": "#/components/schemas/None"}),
    "endless": json_body({"$ref": "#/x"}, x={"anyOf": [{"$ref": "#/x"}]}),
}


@pytest.mark.parametrize("app", NO_DESCRIPTION.values(), ids=NO_DESCRIPTION.keys())
def test_an_app_whose_description_is_missing_or_broken(app: Any) -> None:
    assert operations_of(app) == []


def test_a_description_that_raises() -> None:
    broken = FastAPI()
    broken.openapi = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    assert operations_of(broken) == []


def test_references_in_a_circle_end() -> None:
    (operation,) = operations_of(json_body({"$ref": "#/x"}, x={"$ref": "#/x"}))
    assert operation.path == "/"


@pytest.mark.parametrize(
    ("schema", "draft"),
    [
        ({}, "text"),
        ({"type": "object"}, {}),
        ({"type": "null"}, None),
        ({"type": "array", "items": True}, ["text"]),
        ({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}, [["text"]]),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"type": ["string", "null"], "enum": []}, "text"),
        ({"enum": ["only"]}, "only"),
        ({"const": 4}, 4),
        ({"type": "string", "format": "email"}, "ada@example.com"),
        ({"default": False, "type": "boolean"}, False),
    ],
)
def test_drafts_by_schema(schema: Any, draft: Any) -> None:
    (operation,) = operations_of(json_body(schema))
    assert json.loads(operation.body or "") == draft
