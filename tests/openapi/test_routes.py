"""What the OpenAPI document lists is what the server serves."""

from collections.abc import Iterator
from typing import Any

import pytest
from requests import Response, Session

from tests.conftest import RunningServer
from tests.openapi.document import (
    DOCUMENT,
    Operation,
    media_types,
    operations,
    parameters,
    resolve,
)
from tests.openapi.signing import Signer

SIGNED = [
    pytest.param(operation, id=operation[2]["operationId"])
    for operation in operations()
    if operation[2].get("security") != []
]


def requests_shown() -> Iterator[pytest.ParameterSet]:
    """Each operation with each body that an example shows, or without a body."""
    for operation in operations():
        bodies = [
            (name, resolve(example)["value"])
            for where, media in media_types(operation)
            if where == "request"
            for name, example in media["examples"].items()
        ]
        for name, body in bodies or [("plain", None)]:
            yield pytest.param(operation, body, id=f"{operation[2]['operationId']}-{name}")


def ask(
    server: RunningServer,
    operation: Operation,
    body: Any = None,
    *,
    method: str = "",
    signed: bool = True,
) -> Response:
    """Make the request that the examples of an operation show."""
    path, documented_method, _ = operation
    query = {}
    for parameter in parameters(operation):
        value = parameter["example"]
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", value)
        elif signed and parameter["name"] != "body_md5":
            query[parameter["name"]] = value
    with Session() as session:
        session.trust_env = False
        return session.request(
            method or documented_method,
            f"http://{server.host}:{server.port}{path}",
            params=query,
            data=body.encode() if isinstance(body, str) else None,
            json=None if isinstance(body, str) else body,
            auth=Signer(server.key, server.secret) if signed else None,
            timeout=120,
        )


@pytest.mark.parametrize(("operation", "body"), list(requests_shown()))
def test_the_request_of_every_example_is_accepted(
    server: RunningServer, operation: Operation, body: Any
) -> None:
    (documented,) = [status for status in operation[2]["responses"] if status.startswith("2")]

    answer = ask(server, operation, body)

    assert str(answer.status_code) == documented, answer.text


@pytest.mark.parametrize("operation", SIGNED)
def test_without_a_signature_nothing_is_done(server: RunningServer, operation: Operation) -> None:
    answer = ask(server, operation, signed=False)

    assert answer.status_code == 401
    assert answer.json() == {"error": "Missing parameter: auth_key", "code": 401}


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_another_method_is_told_the_documented_ones(server: RunningServer, path: str) -> None:
    here = [operation for operation in operations() if operation[0] == path]

    answer = ask(server, here[0], method="PUT")

    assert answer.status_code == 405
    assert answer.headers["allow"].split(", ") == [method for _, method, _ in here]
