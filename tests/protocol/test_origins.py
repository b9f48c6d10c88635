"""Which origins an entry of the settings allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oyez.protocol.origins import is_allowed, read_entry


@pytest.mark.parametrize(
    ("entry", "normal", "allowed", "refused"),
    [
        ("https://a.example", None, ["https://a.example"], ["http://a.example", "https://b.example"]),
        ("https://Shop.Example", "https://shop.example", ["https://shop.example"], []),
        ("https://a.example/", "https://a.example", ["https://a.example"], []),
        ("https://a.example:443", "https://a.example", ["https://a.example"], []),
        ("http://a.example:80", "http://a.example", ["http://a.example"], ["https://a.example"]),
        ("https://a.example:8443", None, ["https://a.example:8443"], ["https://a.example"]),
        ("https://*.x", None, ["https://a.x", "https://b.a.x"], ["http://a.x", "https://x"]),
        ("*.a.example", None, ["http://b.a.example:3000"], ["https://a.example", "https://xa.example"]),
        ("a.example", None, ["https://a.example", "http://a.example:81"], ["https://b.a.example"]),
        ("localhost:3000", None, ["http://localhost:3000"], ["http://localhost", "http://localhost:3001"]),
        ("http://localhost:*", None, ["http://localhost:1", "http://localhost"], ["https://localhost:1"]),
        ("localhost:*", None, ["http://localhost:1", "https://localhost"], ["http://localhos"]),
        ("a.example:443", None, ["https://a.example"], ["http://a.example"]),
        ("[::1]", None, ["http://[::1]:3000", "https://[::1]"], ["http://[::2]"]),
        ("http://[::1]:3000", None, ["http://[::1]:3000"], ["http://[::1]"]),
        ("bücher.example", "xn--bcher-kva.example", ["https://xn--bcher-kva.example"], []),
        ("https://bücher.example:8", "https://xn--bcher-kva.example:8", [], ["https://bücher.example"]),
        ("chrome-extension://abcdefgh", None, ["chrome-extension://abcdefgh"], []),
        ("*", None, ["https://a.example", "null", "nonsense"], []),
        ("null", None, ["null"], ["https://null"]),
    ],
)  # fmt: skip
def test_an_entry_allows(
    entry: str, normal: str | None, allowed: list[str], refused: list[str]
) -> None:
    assert read_entry(entry) == (normal or entry)
    for origin in allowed:
        assert is_allowed(origin, (read_entry(entry),)), origin
    for origin in refused:
        assert not is_allowed(origin, (read_entry(entry),)), origin


@pytest.mark.parametrize(
    "entry",
    ["", "https://", "https://a.example/path", "https://a.example?x", "a b", "https://u:p@a.example",
     "a..example", ".example", "-a.example", "https://a.example:99999", "https://a.example:0",
     "http://[::1", "a.example:x", "https://a.example/#x", "bü..cher", "ü" * 70],
)  # fmt: skip
def test_what_no_browser_sends_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_entry(entry)


hosts = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?(\.[a-z]{1,5}){0,2}", fullmatch=True)


@given(st.text(max_size=30))
def test_nothing_raises_but_what_is_said(text: str) -> None:
    is_allowed(text, ("https://a.example", "*.b"))
    try:
        entry = read_entry(text)
    except ValueError:
        return
    assert read_entry(entry) == entry


@given(
    st.sampled_from(["", "http://", "https://"]),
    hosts,
    st.sampled_from(["", ":80", ":443", ":3000", ":*"]),
)
def test_each_entry_that_is_accepted_allows_an_origin(scheme: str, host: str, port: str) -> None:
    entry = read_entry(scheme + host + port)
    number = ":3000" if port == ":*" else port
    origins = []
    for each in [scheme] if scheme else ["http://", "https://"]:
        implied = {"http://": ":80", "https://": ":443"}[each]
        origins.append(each + host + ("" if number == implied else number))
    assert any(is_allowed(origin, (entry,)) for origin in origins)
