"""What a form can ask of an app, read from the app's own OpenAPI description."""

import json
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
SAMPLES = {
    "email": "ada@example.com",
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00",
    "time": "12:00:00",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
}
"""A value for each `format` that a plain word would not fit."""
DEEP = 3
"""Levels of nested models after which an example leaves out what it may."""

Schema = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One value to fill in; `place` is "path", "query", "header", "cookie", "form" or "file"."""

    name: str
    place: str
    value: str = ""
    required: bool = False
    many: bool = False
    """A list: its values stand in one line, separated by commas."""


@dataclass(frozen=True)
class Operation:
    """A path operation: its fields, and a JSON body's first draft where it takes one."""

    method: str
    path: str
    fields: tuple[Field, ...] = ()
    body: str | None = None

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"


def operations_of(app: Any) -> list[Operation]:
    """The app's path operations; an empty list for an app without an OpenAPI description."""
    try:
        document = app.openapi()
        return [
            operation(method, path, {"parameters": [], **details},
                      item.get("parameters", []), document)
            for path, item in document["paths"].items()
            for method, details in item.items()
            if method in METHODS
        ]  # fmt: skip
    except Exception:  # no FastAPI app, or a broken description: any path can still be typed in
        return []


def operation(
    method: str, path: str, details: Schema, shared: list[Schema], document: Schema
) -> Operation:
    """One path operation; `shared` are the parameters of all operations on its path."""
    fields = [
        field(p["name"], p["in"], p, p.get("required", False), document)
        for p in (resolved(p, document) for p in [*shared, *details["parameters"]])
    ]
    draft = None
    for kind, media in (
        resolved(details.get("requestBody", {}), document).get("content", {}).items()
    ):
        schema = resolved(media.get("schema", {}), document)
        if kind == "application/json":
            draft = json.dumps(example(schema, document), indent=2)
        elif kind in FORMS:
            required = schema.get("required", [])
            for name, part in schema.get("properties", {}).items():
                place = "file" if holds_files(part, document) else "form"
                fields.append(field(name, place, {"schema": part}, name in required, document))
    return Operation(method.upper(), path, tuple(fields), draft)


def field(name: str, place: str, parameter: Schema, required: bool, document: Schema) -> Field:
    schema = resolved(parameter.get("schema", {}), document)
    many = schema.get("type") == "array"
    value = "" if place == "file" else first_value(name, parameter, schema, required, document)
    return Field(name, place, value, required, many)


def first_value(
    name: str, parameter: Schema, schema: Schema, required: bool, document: Schema
) -> str:
    """A value to begin with: the app's own example or default, or a guess where one is needed."""
    given = [parameter.get("example"), *schema.get("examples", []), schema.get("default")]
    value = next((value for value in given if value is not None), None)
    if value is None:
        value = example(schema, document, name) if required else ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def holds_files(part: Schema, document: Schema) -> bool:
    """Whether this part of a form is a file, or a list of files."""
    schema = resolved(part, document)
    options = [schema, schema.get("items", {}), *schema.get("anyOf", [])]
    return any(
        option.get("format") == "binary" or "contentMediaType" in option
        for option in (resolved(option, document) for option in options)
    )


def example(schema: Schema | bool, document: Schema, name: str = "", depth: int = 0) -> Any:
    """The smallest value that a JSON schema is likely to accept."""
    if isinstance(schema, bool):  # True: anything will do
        return name or "text"
    schema = resolved(schema, document)
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    if choices := schema.get("examples") or schema.get("enum"):
        return choices[0]
    options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if options:
        optional = {"type": "null"} in options
        return None if optional and depth >= DEEP else example(options[0], document, name, depth)
    match schema.get("type"):
        case "object" if depth <= 2 * DEEP:
            return {
                key: example(part, document, key, depth + 1)
                for key, part in schema.get("properties", {}).items()
                if depth < DEEP or key in schema.get("required", [])
            }
        case "array" if depth < DEEP:
            parts = schema.get("prefixItems") or [schema.get("items", {})]
            return [example(part, document, name, depth + 1) for part in parts]
        case "integer" | "number":
            return max(int(schema.get("minimum", 1)), 1)
        case "boolean":
            return False
        case "array":
            return []
        case "object" | "null":
            return None
    kind = schema.get("format") or ("email" if name == "email" else "")
    return SAMPLES.get(kind) or name or "text"


def resolved(schema: Schema, document: Schema) -> Schema:
    """The schema behind a "$ref", which points into the same document; what stands beside the
    reference, such as a default, goes first.
    """
    for _ in range(20):  # a chain that goes in a circle ends, too
        if "$ref" not in schema:
            break
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema
