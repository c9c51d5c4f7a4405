"""What a form can ask of an app, read from the app's own OpenAPI description."""

import json
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True)
class Field:
    """One value to fill in; `place` is "path", "query", "header", "cookie", "form" or "file"."""

    name: str
    place: str
    value: str = ""
    required: bool = False


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
        paths = document["paths"].items()
    except (
        Exception
    ):  # not FastAPI, or an app whose description cannot be made: the form still works
        return []
    return [
        operation(method, path, [*item.get("parameters", []), *details.get("parameters", [])],
                  details.get("requestBody", {}), document)
        for path, item in paths
        for method, details in item.items()
        if method in METHODS
    ]  # fmt: skip


def operation(
    method: str,
    path: str,
    parameters: list[Any],
    body: dict[str, Any],
    document: dict[str, Any],
) -> Operation:
    fields = [
        Field(
            p["name"],
            p["in"],
            first_value(p["name"], p, document),
            p.get("required", False),
        )
        for p in parameters
    ]
    draft = None
    for kind, media in body.get("content", {}).items():
        schema = resolved(media.get("schema", {}), document)
        if kind == "application/json":
            draft = json.dumps(example(schema, document), indent=2)
        elif kind in FORMS:
            required = schema.get("required", [])
            for name, part in schema.get("properties", {}).items():
                part = resolved(part, document)
                file = part.get("format") == "binary" or "contentMediaType" in part
                value = "" if file else first_value(name, {"schema": part}, document)
                fields.append(Field(name, "file" if file else "form", value, name in required))
    return Operation(method.upper(), path, tuple(fields), draft)


def first_value(name: str, parameter: dict[str, Any], document: dict[str, Any]) -> str:
    """A value to begin with: the app's own example or default, or a guess where one is needed."""
    schema = resolved(parameter.get("schema", {}), document)
    for given in (
        parameter.get("example"),
        *schema.get("examples", []),
        schema.get("default"),
    ):
        if given is not None:
            return str(given)
    return str(example(schema, document, name)) if parameter.get("required") else ""


def example(
    schema: dict[str, Any], document: dict[str, Any], name: str = "", depth: int = 0
) -> Any:
    """The smallest value that a JSON schema is likely to accept."""
    schema = resolved(schema, document)
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    if choices := schema.get("examples") or schema.get("enum"):
        return choices[0]
    options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if options and depth < 5:
        return example(options[0], document, name, depth + 1)
    match schema.get("type"):
        case "object" if depth < 5:
            properties = schema.get("properties", {})
            return {
                key: example(part, document, key, depth + 1) for key, part in properties.items()
            }
        case "array":
            return (
                [example(schema.get("items", {}), document, name, depth + 1)] if depth < 5 else []
            )
        case "integer" | "number":
            return max(schema.get("minimum", 1), 1)
        case "boolean":
            return False
        case "object" | "null":
            return {} if schema["type"] == "object" else None
    return "ada@example.com" if "email" in (name, schema.get("format")) else name or "text"


def resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The schema behind a "$ref", which points into the same document."""
    while "$ref" in schema:
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema
