"""Everything that anybody can send, from the bytes of a connection to the end of a conversation."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oyez.protocol.signing import Token, body_digest, channel_string, user_string
from oyez.server.engine import EngineUnavailable, messages
from oyez.server.engine.nats import wire
from oyez.server.engine.nats.entries import read_answer
from oyez.server.frames import Opcode, split_frames
from oyez.server.node import Node
from tests.conformance.raw import TEXT, Frame
from tests.server.surface import KEY, SECRET, Wire, sent, told

TOKEN = Token(KEY, SECRET)
ZEROS = "0" * 5000

# What has made some library raise more than its usual error, here or elsewhere.
NASTY: tuple[str | bytes, ...] = (
    *("", "\0", "\n", "\r\n", "%", "%00", "%FF", "%ED%A0%BD", "%zz", "+", "&", "&" * 200, "=", ";"),
    *("[", "]", "[]", "[::1", "http://[::1", "http://a:b", "//", "/", "../", "*", "null"),
    *("-1", "1e999", "NaN", "Infinity", "1" * 25, "9" * 5000, ZEROS, ZEROS + "7", "٧", "²", "1.1"),
    *("é", "\ud7ff", "😀", "İ", "ﬀ", "½", b"\xff", b"\xed\xa0\xbd", b"\xc0\x80", b"\x80"),
    *(r"\ud83d", r"\udc69", r"\ud83d\ud83d\udc69", r"\u0000", "\\", '"', "{", "}", "[[[[", ","),
    *("pusher:", "pusher_internal:", "client-", "presence-", "private-encrypted-cache-", "#"),
    *("chunked", "100-continue", "websocket", "upgrade", "close", "permessage-deflate"),
    *(
        "[" * 990,
        "[" * 20_000,
        "1.2.3.4:5",
        '"[::1]:80"',
        "fe80::1%",
        "a" * 300,
        "x" * 20_000,
        "!" * 40,
    ),
)
NASTY_BYTES = [each.encode() if isinstance(each, str) else each for each in NASTY]
NASTY_TEXT = [each for each in NASTY if isinstance(each, str)]


# Anything at all.


def request(method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: h"]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@st.composite
def spoiled(draw: st.DrawFn, good: bytes) -> bytes:
    """Something good with something nasty in its midst, up to four times."""
    data = bytearray(good)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.sampled_from([0, 0, 1, 5, 50]))
        data[start:end] = draw(st.sampled_from(NASTY_BYTES) | st.binary(max_size=8))
    return bytes(data)


WEBSOCKET = [
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]
HEADERS = [
    (b"Origin", b"https://x.b.example"),
    (b"X-Forwarded-For", b"192.0.2.1, 192.0.2.2:80"),
    (b"X-Forwarded-Proto", b"http, https"),
    (b"X-Pusher-Library", b"pusher-http-python 3"),
]
SESSION = b"/pusher/app/app-key/1/session1"
QUERY = b"?protocol=7&client=js&version=8.6.0&flash=false"
AUTH = b"?auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0&info[]=a&x=%s&auth_signature="
CHUNKED = (b"Transfer-Encoding", b"chunked")
GOOD = [
    request("GET", b"/app/app-key" + QUERY, [*WEBSOCKET, *HEADERS], b""),
    request("POST", SESSION + b"/xhr" + QUERY, [*HEADERS, (b"Content-Length", b"0")], b""),
    request("POST", SESSION + b"/xhr_send", [(b"Content-Length", b"6")], b'["{}"]'),
    request("GET", b"/apps/1001/channels/a%20b" + AUTH + b"0" * 64, HEADERS, b""),
    request("POST", b"/users/u/terminate_connections" + AUTH, [(b"Content-Length", b"0")], b""),
    request("POST", b"/apps/1001/events" + AUTH, [CHUNKED], b"0\r\n\r\n"),
    request("GET", b"/up", [(b"Upgrade", b"a"), (b"Connection", b"upgrade")], b""),
]


@given(st.lists(st.sampled_from(GOOD).flatmap(spoiled) | st.binary(max_size=50), max_size=4))
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@example([GOOD[-1][:-2] + b"\r\n" + b"GET /up HTTP/1.1\r\n\r\n"])
@example([request("GET", b"/up", [(b"Content-Length", ZEROS.encode())], b"")])
@example([request("GET", b"/app/app-key?protocol=" + ZEROS.encode(), WEBSOCKET, b"")])
@example([request("GET", b"/app/app-key?" + b"a&" * 100 + b"protocol=7", WEBSOCKET, b"")])
@example([request("GET", b"/app/app-key" + QUERY, [*WEBSOCKET, (b"Origin", b"http://[::1")], b"")])
@example([request("POST", SESSION + b"/xhr" + QUERY, [(b"Origin", b"http://[::1")], b"")])
@example([request("POST", SESSION + b"/xhr?protocol=" + ZEROS.encode(), [], b"")])
@example([request("POST", SESSION + b"/xhr?" + b"a&" * 100 + b"protocol=7", [], b"")])
def test_whatever_arrives_on_a_connection(pieces: list[bytes]) -> None:
    sent(*pieces)


# Requests that are signed as they should be.

TEXTS = st.sampled_from(NASTY_TEXT) | st.text(max_size=5)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=5
)
FIELDS = ("name", "data", "channel", "channels", "socket_id", "info", "batch", "x")
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES | st.just("a"), max_size=5).map(json.dumps)
GOOD_BODY = b'{"name":"e","data":"","channel":"c"}'
CALLS = (
    ("POST", "/apps/1001/events"),
    ("POST", "/apps/1001/batch_events"),
    ("POST", "/apps/1001/channels/NAME/events"),
    ("POST", "/apps/1001/users/NAME/terminate_connections"),
    ("POST", "/users/NAME/terminate_connections"),
    ("GET", "/apps/1001/channels"),
    ("GET", "/apps/1001/channels/NAME"),
    ("GET", "/apps/1001/channels/NAME/users"),
    ("GET", "/apps/1001/channels/NAME/stats"),
)
PARAMETERS = st.lists(
    st.tuples(st.sampled_from((*FIELDS, "filter_by_prefix", "info[]")), TEXTS), max_size=6
)


def signed(
    method: str, path: str, name: str, parameters: list[tuple[str, str]], body: bytes
) -> bytes:
    pairs = [
        ("auth_key", KEY),
        ("auth_timestamp", str(int(time.time()))),
        ("auth_version", "1.0"),
        *parameters,
    ]
    if body:
        pairs.append(("body_md5", body_digest(body)))
    ordered = "&".join(f"{key}={value}" for key, value in sorted(pairs, key=lambda pair: pair[0]))
    message = f"{method}\n{path.replace('NAME', name)}\n{ordered}".encode()
    query = urlencode([*pairs, ("auth_signature", TOKEN.sign(message))])
    target = f"{path.replace('NAME', quote(name, safe=''))}?{query}"
    return request(method, target.encode(), [(b"Content-Length", b"%d" % len(body))], body)


@given(
    st.sampled_from(CALLS),
    TEXTS,
    PARAMETERS,
    BODIES.map(str.encode).flatmap(spoiled) | st.just(GOOD_BODY),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_backend_signs(
    call: tuple[str, str], name: str, parameters: list[tuple[str, str]], body: bytes
) -> None:
    [answer] = sent(signed(*call, name, parameters, body if call[0] == "POST" else b""))
    if len(answer) < 16_000 and b" 431 " not in answer:
        json.loads(answer.partition(b"\r\n\r\n")[2] or b"{}")


def test_what_is_signed_here_is_let_in() -> None:
    [answer] = sent(
        signed(
            "POST",
            "/apps/1001/events",
            "",
            [("x", "a b;\u00e9")],
            b'{"name":"e","data":"","channel":"c"}',
        )
    )
    assert answer.startswith(b"HTTP/1.1 200")


# What clients say.

EVENTS = ("pusher:subscribe", "pusher:unsubscribe", "pusher:signin", "pusher:ping", "client-a", "x")
CHANNELS = ("presence-x", "private-x", "cache-x", "x", "#server-to-user-7")
MESSAGES = st.fixed_dictionaries(
    {"event": st.sampled_from(EVENTS) | TEXTS},
    optional={
        "channel": st.sampled_from(CHANNELS) | VALUES,
        "data": VALUES
        | st.fixed_dictionaries(
            {"channel": st.sampled_from(CHANNELS) | VALUES},
            optional={"auth": VALUES, "channel_data": VALUES, "user_data": VALUES},
        ),
    },
).map(json.dumps)
VOUCHED = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("user_id", "id", "user_info", "watchlist"), VALUES | st.just("7")),
).map(json.dumps)


def vouched_for(socket_id: str, data: str) -> Iterator[bytes]:
    """An application server has signed this as a member of a channel, and as a user."""
    text = channel_string(socket_id, "presence-x", data).encode()
    member = {"channel": "presence-x", "auth": f"{KEY}:{TOKEN.sign(text)}", "channel_data": data}
    yield json.dumps({"event": "pusher:subscribe", "data": member}).encode()
    text = user_string(socket_id, data).encode()
    user = {"auth": f"{KEY}:{TOKEN.sign(text)}", "user_data": data}
    yield json.dumps({"event": "pusher:signin", "data": user}).encode()


def conversation(node: Node, vouched: list[str], said: list[bytes]) -> Wire:
    client = Wire(node)
    client.feed(request("GET", b"/app/app-key" + QUERY, WEBSOCKET, b""))
    greeting = json.loads(heard(client.stream)[0]["data"])
    texts = [text for data in vouched for text in vouched_for(greeting["socket_id"], data)]
    for text in (*texts, *said):
        client.feed(Frame(TEXT, text).encode())
    return client


def heard(stream: bytes) -> list[dict[str, Any]]:
    """The messages of the server, each of which has to be JSON with a string for an event."""
    frames = split_frames(stream.partition(b"\r\n\r\n")[2])
    found = [json.loads(payload.decode()) for opcode, payload in frames if opcode is Opcode.TEXT]
    assert all(isinstance(each["event"], str) for each in found)
    return found


@given(
    st.lists(VOUCHED | TEXTS, max_size=3),
    st.lists(MESSAGES.map(str.encode).flatmap(spoiled) | MESSAGES.map(str.encode), max_size=5),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@example(
    [r'{"user_id":"7\ud83d","user_info":{"a":"\udc69"}}'],
    [rb'{"event":"pusher:ping","x":"\ud83d"}'],
)
@example(['{"user_id":"7","user_info":%s}' % ("[" * 940 + "]" * 940)], [])
def test_whatever_clients_say(vouched: list[str], said: list[bytes]) -> None:
    def talk(node: Node) -> Iterator[Wire]:
        for _ in range(2):  # the second one meets what the first one has left
            yield conversation(node, vouched, said)

    for answer in told(talk):
        assert heard(answer)


def test_who_is_vouched_for_here_is_let_in() -> None:
    data = '{"user_id":"7","id":"7"}'
    [answer] = told(lambda node: [conversation(node, [data], [])])
    names = [each["event"] for each in heard(answer)]
    assert {"pusher_internal:subscription_succeeded", "pusher:signin_success"} <= set(names)


@given(st.lists(st.binary(max_size=300) | st.sampled_from(NASTY_BYTES), max_size=5))
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_bytes_follow_a_handshake(pieces: list[bytes]) -> None:
    sent(request("GET", b"/app/app-key" + QUERY, WEBSOCKET, b""), *pieces)


@given(
    st.lists(MESSAGES, max_size=3).map(json.dumps).map(str.encode).flatmap(spoiled)
    | VALUES.map(json.dumps).map(str.encode)
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_fallback_session_is_sent(body: bytes) -> None:
    def talk(node: Node) -> Iterator[Wire]:
        for path, content in ((b"/xhr" + QUERY, b""), (b"/xhr_send", body), (b"/xhr" + QUERY, b"")):
            client = Wire(node)
            length = (b"Content-Length", b"%d" % len(content))
            client.feed(request("POST", SESSION + path, [length], content))
            yield client

    told(talk)


# What nodes say to each other.


@given(
    st.binary(max_size=60) | st.sampled_from(NASTY_BYTES) | VALUES.map(json.dumps).map(str.encode)
)
def test_whatever_a_broker_hands_over(body: bytes) -> None:
    for message in (body, b"\1" + body, b"\1" + bytes(8) + body):
        with contextlib.suppress(messages.Refused):
            messages.read("c", message)
        with contextlib.suppress(messages.Refused):
            wire.read_requests(message)
        with contextlib.suppress(messages.Refused):
            wire.join_pieces(bytearray(), message)


FIELDS_OF_ANSWERS = st.dictionaries(
    st.sampled_from(("err_code", "description", "seq", "data")), VALUES | st.integers()
)
JETSTREAM = st.dictionaries(
    st.sampled_from(("error", "message", "seq")), VALUES | FIELDS_OF_ANSWERS
)


@given(JETSTREAM.map(json.dumps).map(str.encode).flatmap(spoiled))
@example(b"[" * 20_000)
def test_whatever_jetstream_answers(answer: bytes) -> None:
    with contextlib.suppress(EngineUnavailable):
        read_answer(answer)
