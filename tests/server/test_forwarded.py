"""What a trusted proxy says of a connection."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oyez.server.forwarded import came_over_tls, client_address


@pytest.mark.parametrize(
    "said",
    [
        b"https",
        b"HTTPS",
        b"wss",
        b"WSS",
        b" https ",
        b'"https"',
        b"http, https",
        b"http,https",
        b"ws, wss",
        b"https, ",
        b"http, , https,",
    ],
)
def test_https_and_wss_are_secure(said: bytes) -> None:
    assert came_over_tls({b"x-forwarded-proto": said})


@pytest.mark.parametrize(
    "said",
    [b"", b",", b"http", b"ws", b"on", b"https http", b"httpsx", b"https, http", b"wss,ws"],
)
def test_the_last_proxy_decides_and_the_rest_is_not_secure(said: bytes) -> None:
    assert not came_over_tls({b"x-forwarded-proto": said})


def test_a_proxy_that_says_nothing_is_not_secure() -> None:
    assert not came_over_tls({})


@pytest.mark.parametrize(
    ("said", "address"),
    [
        (b"192.0.2.7", "192.0.2.7"),
        (b"192.0.2.7:5678", "192.0.2.7"),  # Azure
        (b'"192.0.2.7:5678"', "192.0.2.7"),
        (b"2001:db8::1", "2001:db8::1"),
        (b"[2001:db8::1]", "2001:db8::1"),
        (b"[2001:db8::1]:443", "2001:db8::1"),
        (b'"[::1]:80"', "::1"),
        (b"2001:DB8:0::1", "2001:db8::1"),
        (b"::ffff:192.0.2.7", "192.0.2.7"),
        (b"fe80::1%eth0", "fe80::1"),
        (b"[fe80::1%25eth0]:80", "fe80::1"),
        (b"203.0.113.9, 192.0.2.7", "192.0.2.7"),
        (b"203.0.113.9:1,192.0.2.7:2", "192.0.2.7"),
        (b"192.0.2.7, ", "192.0.2.7"),
        (b"192.0.2.7, unknown", ""),
        (b"unknown", ""),
        (b"_hidden", ""),
        (b"", ""),
        (b",", ""),
        (b"[", ""),
        (b"[::1", "::1"),
        (b"[]:80", ""),
        (b":80", ""),
        (b"192.0.2.256", ""),
        (b"192.0.2", ""),
        (b"3221226007", ""),
        (b"\xb2.0.0.1", ""),
        (b"localhost:80", ""),
        (b"fe80::1%" + b"x" * 9000, "fe80::1"),
        (b"1" * 9000, ""),
    ],
)
def test_the_address_of_the_client_is_taken_out(said: bytes, address: str) -> None:
    assert client_address({b"x-forwarded-for": said}) == address


@given(st.binary() | st.text('0123456789abcdef:.[]%, "').map(str.encode))
@example(b"[%]")
def test_any_header_is_an_address_or_none(said: bytes) -> None:
    assert set(client_address({b"x-forwarded-for": said})) <= set("0123456789abcdef:.")
