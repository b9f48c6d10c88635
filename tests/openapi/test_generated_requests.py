"""Requests generated from the OpenAPI document, good and bad ones, against a running server.

Schemathesis checks each answer: no server error; status, content type, headers and body as
documented; what the document allows is accepted, what it forbids is refused; nothing is answered
without a signature. No check is switched off.
"""

import re
from typing import Any

import schemathesis
from hypothesis import settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from oyez.protocol.channels import kind_of
from tests.conftest import RunningServer
from tests.openapi.document import of_one_app, operations
from tests.openapi.signing import Signer

Case = schemathesis.Case[Any]

EXAMPLES = 15  # random ones per operation, beside those that follow from each rule and example
NO_PREFIX = "user_count may only be requested for presence channels"
NO_USERS = "Cannot retrieve the user count unless the channel is a presence channel"
NO_CACHE = "Cannot retrieve the cache unless the channel is a cache channel"


def configuration() -> SchemathesisConfig:
    config = SchemathesisConfig(seed=1)
    project = config.projects.default
    project.generation.deterministic = True
    project.generation.max_examples = EXAMPLES
    project.generation.with_security_parameters = False  # they are the signer's
    project.checks.positive_data_acceptance.expected_statuses = ["2xx"]
    refused = ["400", "401", "404", "405", "413"]
    project.checks.negative_data_rejection.expected_statuses = refused
    return config


api = schemathesis.openapi.from_dict(of_one_app(RunningServer.app_id), config=configuration())


def check_answer(case: Case, server: RunningServer) -> None:
    sent: dict[str, Any] = {
        "base_url": f"http://{server.host}:{server.port}",
        "auth": Signer(server.key, server.secret),
        "proxies": {"http": ""},  # none, whatever the environment says
    }

    response = case.call(**sent)

    refusal = refused_beyond_the_document(case)
    if refusal is None:
        case.validate_response(response, transport_kwargs=sent)
    else:
        assert response.json()["error"].startswith(refusal)
        case.validate_response(
            response, excluded_checks=[positive_data_acceptance], transport_kwargs=sent
        )


def refused_beyond_the_document(case: Case) -> str | None:
    """How a request is refused that breaks none of the rules in the document.

    OpenAPI cannot say which value of one parameter another one needs.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return None
    info = case.query.get("info", "")
    channel = case.path_parameters.get("channel_name")
    if channel is None:
        prefix = case.query.get("filter_by_prefix", "")
        return NO_PREFIX if "user_count" in info and not prefix.startswith("presence-") else None
    kind = kind_of(channel)
    if "user_count" in info and not kind.presence:
        return NO_USERS
    if "cache" in info and not kind.cache:
        return NO_CACHE
    return None


def generated_test(operation_id: str) -> object:
    """The test of one operation."""

    @api.include(operation_id=operation_id).parametrize()
    @settings(deadline=None)
    def test(case: Case, server: RunningServer) -> None:
        check_answer(case, server)

    return test


# One function per operation: those that Schemathesis makes of one function have one node id under
# pytest 9.2, of which xdist runs only one.
for _, _, described in operations():
    name = re.sub(r"(?=[A-Z])", "_", described["operationId"]).lower()
    globals()[f"test_{name}_is_answered_as_documented"] = generated_test(described["operationId"])
