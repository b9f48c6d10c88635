"""Who may use the HTTP API: the signature, its order of checks and every way libraries make it."""

import time

from oyez.conformance.check import ADVICE, DOCS, PEERS, SDK, Checks
from oyez.conformance.probe import Probe
from oyez.conformance.signed import Answer, Changes, Pairs, credentials, encode, signature
from oyez.protocol.signing import body_digest

__all__ = ["CHECKS", "ask"]

CHECKS = Checks("http-api.md")


async def ask(
    probe: Probe,
    rest: str = "/channels",
    params: Pairs | None = None,
    *,
    signed: Pairs | None = None,
    signed_rest: str | None = None,
    escape: bool = True,
    changes: Changes | None = None,
) -> Answer:
    """A GET of which the wire and what is signed may differ.

    Args:
        rest: path on the wire.
        params: query on the wire.
        signed: parameters as they are signed, if others.
        signed_rest: path as it is signed, if another.
        escape: whether values are percent-encoded on the wire.
        changes: to the authentication parameters.
    """
    api = probe.api
    auth = credentials(api.token, changes=changes)
    path = api.path(signed_rest or rest)
    signed = (params or []) if signed is None else signed
    sign = signature(api.token, "GET", path, [*auth, *signed])
    query = encode([*auth, *(params or []), ("auth_signature", sign)], escape=escape)
    return await api.send("GET", f"{api.path(rest)}?{query}")


@CHECKS.add("http.auth.accepted", "2.2", DOCS)
async def a_signed_request_is_accepted(probe: Probe) -> None:
    """A correctly signed request is accepted."""
    (await ask(probe)).ok()


@CHECKS.add("http.auth.any_parameter_order", "6", SDK)
async def parameters_come_in_any_order(probe: Probe) -> None:
    """Parameters may come in any order, the signature first."""
    auth = credentials(probe.api.token)
    path = probe.api.path("/channels")
    sign = signature(probe.api.token, "GET", path, auth)
    query = encode([("auth_signature", sign), *reversed(auth)])
    (await probe.api.send("GET", f"{path}?{query}")).ok()


@CHECKS.add("http.auth.escaped_values", "2.4", SDK)
async def values_may_be_escaped(probe: Probe) -> None:
    """Query values may be escaped, as PHP and Ruby do."""
    (await ask(probe, params=[("filter_by_prefix", "presence-@,;="), ("info", "user_count")])).ok()


@CHECKS.add("http.auth.raw_values", "2.4", SDK)
async def values_may_be_raw(probe: Probe) -> None:
    """Query values may be raw, as Node, Go and .NET do."""
    params = [("filter_by_prefix", "presence-@,;="), ("info", "user_count")]
    (await ask(probe, params=params, escape=False)).ok()


@CHECKS.add("http.auth.plus_as_space", "2.4", SDK)
async def a_plus_may_be_a_space(probe: Probe) -> None:
    """A plus sign may stand for a space (PHP, Ruby)."""
    wire, signed = [("filter_by_prefix", "a+b")], [("filter_by_prefix", "a b")]
    (await ask(probe, params=wire, signed=signed, escape=False)).ok()


@CHECKS.add("http.auth.plus_as_plus", "2.4", SDK)
async def a_plus_may_be_a_plus(probe: Probe) -> None:
    """A plus sign may stand for itself (Node, Go)."""
    (await ask(probe, params=[("filter_by_prefix", "a+b")], escape=False)).ok()


@CHECKS.add("http.auth.keys_lowercased", "2.2 and vector HTTP-8", SDK)
async def names_are_lowercased(probe: Probe) -> None:
    """Parameter names are lowercased before sorting; values are not."""
    params = [("Name", "Something else"), ("FILTER_BY_PREFIX", "private-")]
    (await ask(probe, params=params)).ok()


@CHECKS.add("http.auth.empty_value", "2.2", SDK)
async def an_empty_value_is_signed(probe: Probe) -> None:
    """A parameter without value signs as `key=`."""
    (await ask(probe, params=[("filter_by_prefix", "")])).ok()


_SPECIAL = "/channels/presence-a_b-c=d@e,f.g;h/users"
_ENCODED = "/channels/presence-a_b-c%3Dd%40e%2Cf.g%3Bh/users"


@CHECKS.add("http.auth.special_characters_in_path", "7 and vector HTTP-7a", SDK)
async def special_characters_in_the_path(probe: Probe) -> None:
    """The characters `= @ , . ;` may be raw in the path."""
    (await ask(probe, _SPECIAL)).ok()


@CHECKS.add("http.auth.decoded_path_signed", "2.4 and vector HTTP-7c", SDK)
async def the_decoded_path_is_signed(probe: Probe) -> None:
    """The path may be signed before it is percent-encoded, as every official library does."""
    (await ask(probe, _ENCODED, signed_rest=_SPECIAL)).ok()


@CHECKS.add("http.auth.raw_path_signed", "2.4 and vector HTTP-7b", ADVICE)
async def the_raw_path_is_signed(probe: Probe) -> None:
    """The path may be signed as it stands in the request line, as hand-made clients do."""
    (await ask(probe, _ENCODED)).ok()


@CHECKS.add("http.auth.encoded_slash", "2.4", ADVICE)
async def an_encoded_slash_makes_no_segment(probe: Probe) -> None:
    """An encoded slash in a name makes no new path segment."""
    rest, signed = "/channels/presence-a%2Fusers", "/channels/presence-a/users"
    (await ask(probe, rest, signed_rest=signed)).expect(400)


_TWO = [("info", "user_count"), ("info", "subscription_count")]
_BRACKETS = [("info[]", "user_count"), ("info[]", "subscription_count")]
_INDEXED = [("info[0]", "user_count"), ("info[1]", "subscription_count")]
_JOINED = [("info", "user_count,subscription_count")]


async def lists(probe: Probe, wire: Pairs, signed: Pairs | None = None) -> None:
    prefix = [("filter_by_prefix", "presence-")]
    signed = None if signed is None else prefix + signed
    answer = await ask(probe, params=prefix + wire, signed=signed)
    if answer.status == 400 and "not enabled" in answer.text:
        return  # the signature was good, only counting subscriptions is off
    answer.ok()


@CHECKS.add("http.auth.repeated_key", "2.4", SDK)
async def a_repeated_parameter_keeps_its_order(probe: Probe) -> None:
    """A repeated parameter signs in the order it came."""
    await lists(probe, _TWO)


@CHECKS.add("http.auth.bracket_array", "2.4 and vector HTTP-9", SDK)
async def a_bracket_array_signs_as_it_is(probe: Probe) -> None:
    """`info[]=a&info[]=b` signs as it is."""
    await lists(probe, _BRACKETS)


@CHECKS.add("http.auth.ruby_array", "2.4", SDK)
async def ruby_signs_brackets_it_does_not_send(probe: Probe) -> None:
    """Ruby signs `info[]=a&info[]=b` and sends `info=a&info=b`."""
    await lists(probe, _TWO, _BRACKETS)


@CHECKS.add("http.auth.indexed_array", "2.4", SDK)
async def an_indexed_array_signs_as_it_is(probe: Probe) -> None:
    """`info[0]=a&info[1]=b` signs as it is."""
    await lists(probe, _INDEXED)


@CHECKS.add("http.auth.php_array", "2.4", PEERS)
async def php_signs_the_joined_list(probe: Probe) -> None:
    """PHP signs `info=a,b` and sends `info[0]=a&info[1]=b`."""
    await lists(probe, _INDEXED, _JOINED)


@CHECKS.add("http.auth.body_md5_of_nothing", "2.3 and vector HTTP-3", SDK)
async def the_md5_of_nothing_is_accepted(probe: Probe) -> None:
    """A GET may carry the MD5 of the empty body, as the Python library always does."""
    (await ask(probe, changes={"body_md5": body_digest(b"")})).ok()


@CHECKS.add("http.auth.unknown_parameter", "2.2", SDK)
async def an_unknown_parameter_is_ignored(probe: Probe) -> None:
    """An unknown parameter is signed and ignored."""
    (await ask(probe, params=[("x", "1")])).ok()


@CHECKS.add("http.auth.unsigned_parameter", "8.2", SDK)
async def an_unsigned_parameter_is_refused(probe: Probe) -> None:
    """A parameter that was not signed makes a 401."""
    (await ask(probe, params=[("x", "1")], signed=[])).expect(401)


@CHECKS.add("http.auth.second_token", "2.3", DOCS, "token")
async def every_active_token_signs(probe: Probe) -> None:
    """Every active token of the app signs."""
    second = probe.api_of(probe.second("token"))
    (await second.get("/channels")).ok()
    (await probe.api.get("/channels")).ok()


@CHECKS.add("http.auth.signature_upper_case", "2.3", ADVICE)
async def the_case_of_the_signature_does_not_matter(probe: Probe) -> None:
    """The case of the signature does not matter."""
    path = probe.api.path("/channels")
    auth = credentials(probe.api.token)
    sign = signature(probe.api.token, "GET", path, auth).upper()
    (await probe.api.send("GET", f"{path}?{encode([*auth, ('auth_signature', sign)])}")).ok()


@CHECKS.add("http.auth.timestamp_599s", "2.3 and ambiguities.md A-05", SDK)
async def a_timestamp_is_accepted_up_to_599_seconds(probe: Probe) -> None:
    """A timestamp less than 600 s off is accepted."""
    now = int(time.time())
    for timestamp in (now - 590, now + 590):  # clocks of two machines may differ by seconds
        (await ask(probe, changes={"auth_timestamp": str(timestamp)})).ok()
