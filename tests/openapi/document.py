"""The OpenAPI document, as the tests read it."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from openapi_spec_validator.readers import read_from_filename

__all__ = [
    "DOCUMENT",
    "Operation",
    "media_types",
    "of_one_app",
    "operations",
    "parameters",
    "resolve",
]

PATH = Path(__file__).parent.parent.parent / "docs" / "reference" / "openapi.yaml"
DOCUMENT: dict[str, Any] = dict(read_from_filename(str(PATH))[0])

Operation = tuple[str, str, dict[str, Any]]
"""Path, method and description."""


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """The part itself, or what its ``$ref`` names."""
    while "$ref" in part:
        found: Any = DOCUMENT
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def operations() -> list[Operation]:
    """All operations of the document."""
    return [
        (path, method.upper(), operation)
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]


def parameters(operation: Operation) -> list[dict[str, Any]]:
    """The parameters of an operation, with those of its path."""
    path, _, described = operation
    listed = DOCUMENT["paths"][path].get("parameters", []) + described.get("parameters", [])
    return [resolve(each) for each in listed]


def media_types(operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    """What bodies an operation takes (``request``) and gives (by status)."""
    described = operation[2]
    for media in resolve(described.get("requestBody", {})).get("content", {}).values():
        yield "request", media
    for status, response in described["responses"].items():
        for media in resolve(response).get("content", {}).values():
            yield status, media


def of_one_app(app_id: str) -> dict[str, Any]:
    """The document, narrowed to the only app that the server under test has."""
    narrowed = deepcopy(DOCUMENT)
    parameter = narrowed["components"]["parameters"]["AppId"]
    parameter["schema"] = {"type": "string", "const": app_id}
    parameter["example"] = app_id
    return narrowed
