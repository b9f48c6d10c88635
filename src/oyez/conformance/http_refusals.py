"""Requests that the HTTP API does not let in, and what it says to them."""

import time

from oyez.conformance.check import ADVICE, DOCS, SDK, Checks, Source
from oyez.conformance.expectations import expect
from oyez.conformance.http_signing import ask
from oyez.conformance.probe import Probe
from oyez.conformance.signed import Answer, Changes, compact, credentials, encode, signature
from oyez.protocol.signing import body_digest

__all__ = ["CHECKS"]

CHECKS = Checks("http-api.md")


def _refused(id: str, source: Source, what: str, text: str, name: str, value: str | None) -> None:
    """Two checks of one refusal: that it is a 401, and that it says why."""

    async def is_refused(probe: Probe) -> None:
        (await ask(probe, changes={name: value})).expect(401)

    async def says_why(probe: Probe) -> None:
        (await ask(probe, changes={name: value})).refused(401, text)

    CHECKS.add(id, "2.3", source, rule=f"{what} is answered 401.")(is_refused)
    CHECKS.add(f"{id}.text", "2.3", SDK, rule=f"{what} is answered with “{text}”.")(says_why)


for _id, _source, _what, _text, _name, _value in (
    ("key_missing", DOCS, "A missing key", "Missing parameter: auth_key", "auth_key", None),
    ("key_unknown", DOCS, "An unknown key", "Unknown auth_key", "auth_key", "nobody"),
    ("version_missing", DOCS, "A missing version", "Version required", "auth_version", None),
    ("version_other", SDK, "Another version", "Version not supported", "auth_version", "1.1"),
    ("timestamp_missing", DOCS, "A missing time", "Timestamp required", "auth_timestamp", None),
    ("timestamp_no_number", SDK, "No number as time", "Timestamp required", "auth_timestamp", "x"),
):
    _refused(f"http.auth.{_id}", _source, _what, _text, _name, _value)


def seconds_off(seconds: int) -> Changes:
    """A timestamp so far from now."""
    return {"auth_timestamp": str(int(time.time()) + seconds)}


@CHECKS.add("http.auth.timestamp_600s", "2.3 and ambiguities.md A-05", DOCS | SDK)
async def a_timestamp_is_refused_from_600_seconds(probe: Probe) -> None:
    """A timestamp 600 s in the past is answered 401."""
    (await ask(probe, changes=seconds_off(-600))).expect(401)


@CHECKS.add("http.auth.timestamp_future", "2.3 and 8.2", SDK)
async def a_timestamp_of_the_future_is_refused(probe: Probe) -> None:
    """A timestamp more than 600 s in the future is answered 401."""
    (await ask(probe, changes=seconds_off(601))).expect(401)


@CHECKS.add("http.auth.timestamp_600s.text", "2.3", SDK)
async def an_expired_timestamp_is_explained(probe: Probe) -> None:
    """An expired timestamp is answered with both times, that of the request and the server's."""
    answer = await ask(probe, changes=seconds_off(-600))
    answer.refused(401, "Timestamp expired: Given timestamp (")
    answer.refused(401, "not within 600s of server time (")


@CHECKS.add("http.auth.key_of_another_app", "2.3 and ambiguities.md A-04", DOCS, "other")
async def the_key_of_another_app_is_refused(probe: Probe) -> None:
    """The key and secret of another app are answered 401."""
    other = probe.second("other").token
    path = probe.api.path("/channels")
    auth = credentials(other)
    sign = signature(other, "GET", path, auth)
    answer = await probe.api.send("GET", f"{path}?{encode([*auth, ('auth_signature', sign)])}")
    answer.expect(401)


async def publish(
    probe: Probe,
    changes: Changes | None = None,
    *,
    sent: bytes | None = None,
    method: str = "POST",
) -> Answer:
    """A publish whose body, method or digest is not what was signed."""
    body = compact({"name": "e", "channels": [probe.channel()], "data": "x"})
    path = probe.api.path("/events")
    auth = credentials(probe.api.token, body, changes)
    sign = signature(probe.api.token, method, path, auth)
    query = encode([*auth, ("auth_signature", sign)])
    return await probe.api.send("POST", f"{path}?{query}", body if sent is None else sent)


@CHECKS.add("http.auth.body_md5_missing", "2.3 and ambiguities.md A-06", DOCS)
async def a_body_without_md5_is_refused(probe: Probe) -> None:
    """A body without body_md5 is answered 401."""
    (await publish(probe, {"body_md5": None})).expect(401)


@CHECKS.add("http.auth.body_md5_missing.text", "2.3", ADVICE)
async def a_missing_md5_is_named(probe: Probe) -> None:
    """It is answered “Missing parameter: body_md5”."""
    (await publish(probe, {"body_md5": None})).refused(401, "Missing parameter: body_md5")


@CHECKS.add("http.auth.body_md5_wrong", "2.3", DOCS)
async def a_wrong_md5_is_refused(probe: Probe) -> None:
    """A body_md5 that is not that of the body is answered 401."""
    (await publish(probe, {"body_md5": body_digest(b"other")})).expect(401)


@CHECKS.add("http.auth.body_md5_wrong.text", "2.3", ADVICE)
async def a_wrong_md5_is_named(probe: Probe) -> None:
    """It is answered “Invalid body_md5”."""
    (await publish(probe, {"body_md5": body_digest(b"other")})).refused(401, "Invalid body_md5")


@CHECKS.add("http.auth.body_replaced", "7 and 8.2", DOCS)
async def a_replaced_body_is_refused(probe: Probe) -> None:
    """A body other than the signed one is answered 401."""
    (await publish(probe, sent=compact({"name": "e", "channels": ["c"], "data": "y"}))).expect(401)


@CHECKS.add("http.auth.method_signed", "8.2", DOCS)
async def the_method_is_signed(probe: Probe) -> None:
    """A signature made for GET does not fit POST."""
    (await publish(probe, method="GET")).expect(401)


async def badly_signed(probe: Probe, sign: str | None) -> Answer:
    pairs = credentials(probe.api.token)
    if sign is not None:
        pairs.append(("auth_signature", sign))
    return await probe.api.send("GET", f"{probe.api.path('/channels')}?{encode(pairs)}")


@CHECKS.add("http.auth.signature_missing", "2.3", DOCS)
async def a_missing_signature_is_refused(probe: Probe) -> None:
    """A missing signature is answered 401."""
    (await badly_signed(probe, None)).expect(401)


@CHECKS.add("http.auth.signature_wrong", "2.3", DOCS)
async def a_wrong_signature_is_refused(probe: Probe) -> None:
    """A wrong signature is answered 401."""
    (await badly_signed(probe, "0" * 64)).expect(401)


@CHECKS.add("http.auth.signature_wrong.text", "2.3", SDK)
async def a_wrong_signature_is_explained(probe: Probe) -> None:
    """A wrong signature is answered with the string that should have been signed, on one line."""
    start = 'Invalid signature: you should have sent HmacSHA256Hex("GET\\n'
    answer = (await badly_signed(probe, "0" * 64)).refused(401, start)
    answer.refused(401, "your_secret_key")
    expect("the secret in the answer", probe.app.secret in answer.text, False)


@CHECKS.add("http.auth.order", "2.3", SDK)
async def checks_have_an_order(probe: Probe) -> None:
    """The key is checked before version, version before timestamp."""
    wrong: Changes = {"auth_version": "9", "auth_timestamp": "1"}
    (await ask(probe, changes={**wrong, "auth_key": None})).refused(401, "auth_key")
    (await ask(probe, changes=wrong)).refused(401, "Version")
