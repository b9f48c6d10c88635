"""The OpenAPI document is valid, and what it says by itself is right."""

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from oyez.protocol.app import Limits
from oyez.protocol.signing import Token, body_digest
from tests.openapi.document import (
    DOCUMENT,
    Operation,
    media_types,
    operations,
    parameters,
    resolve,
)

Example = tuple[str, dict[str, Any], Any]


def name_of(operation: Operation) -> str:
    identifier: str = operation[2]["operationId"]
    return identifier


def examples(operation: Operation) -> Iterator[Example]:
    """Where each example of an operation stands, with its schema and its value."""
    for parameter in parameters(operation):
        yield parameter["name"], parameter["schema"], parameter["example"]
    for where, media in media_types(operation):
        if "example" in media:
            yield where, media["schema"], media["example"]
        for name, example in media.get("examples", {}).items():
            yield f"{where}-{name}", media["schema"], resolve(example)["value"]


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


@pytest.mark.parametrize("operation", operations(), ids=name_of)
def test_every_example_fits_its_schema(operation: Operation) -> None:
    for where, schema, value in examples(operation):
        whole = {**schema, "components": DOCUMENT["components"]}
        found = [error.message for error in OAS31Validator(whole).iter_errors(value)]
        assert not found, where


@pytest.mark.parametrize("operation", operations(), ids=name_of)
def test_every_body_is_shown_by_an_example(operation: Operation) -> None:
    for where, media in media_types(operation):
        assert "example" in media or media.get("examples"), where


@pytest.mark.parametrize("operation", operations(), ids=name_of)
def test_every_signed_operation_tells_all_refusals(operation: Operation) -> None:
    _, method, described = operation
    expected = {"405"}
    if described.get("security") != []:
        expected |= {"400", "401", "403", "503"} | ({"413", "504"} if method == "POST" else set())

    assert expected <= set(described["responses"])


def test_every_operation_has_a_name_of_its_own_and_a_known_tag() -> None:
    names = [name_of(operation) for operation in operations()]
    used = {tag for _, _, described in operations() for tag in described["tags"]}

    assert len(set(names)) == len(names)
    assert used == {tag["name"] for tag in DOCUMENT["tags"]}


def test_the_limits_are_the_defaults_of_the_server() -> None:
    schemas, limits = DOCUMENT["components"]["schemas"], Limits()

    assert schemas["EventData"]["maxLength"] == limits.event_data
    assert schemas["EventName"]["maxLength"] == limits.event_name
    assert schemas["ChannelName"]["maxLength"] == limits.channel_name
    assert schemas["UserId"]["maxLength"] == limits.user_id
    assert schemas["Batch"]["properties"]["batch"]["maxItems"] == limits.events_per_batch
    channels = schemas["EventForChannels"]["properties"]["channels"]
    assert channels["maxItems"] == limits.channels_per_publish
    pattern = schemas["PublishChannelName"]["pattern"]
    assert f"{{1,{limits.channel_name}}}|" in pattern
    assert f"{{1,{limits.user_id}}})" in pattern


def test_the_example_of_a_signature_is_right() -> None:
    text: str = DOCUMENT["info"]["description"]
    body = r'{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}'
    string = text.partition("```text\n")[2].partition("\n```")[0]

    assert f"`{body}`" in text
    assert f"body_md5={body_digest(body.encode())}" in string
    signature = Token("278d425bdf160c739803", "7ad3773142a6692b25b8").sign(string.encode())
    assert signature in text
