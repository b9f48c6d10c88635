"""What a channel name stands for."""

import pytest

from oyez.protocol.channels import ChannelKind, is_channel_name, kind_of

PRIVATE, PRESENCE = ChannelKind(private=True), ChannelKind(private=True, presence=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("news", ChannelKind()),
        ("my-private-x", ChannelKind()),
        ("xcache-y", ChannelKind()),
        ("privateer", ChannelKind()),
        ("cached", ChannelKind()),
        ("Private-x", ChannelKind()),
        ("p", ChannelKind()),
        ("private-", PRIVATE),
        ("private-x", PRIVATE),
        ("private-cachex", PRIVATE),
        ("presence-x", PRESENCE),
        ("presence-", PRESENCE),
        ("cache-x", ChannelKind(cache=True)),
        ("private-cache-x", ChannelKind(private=True, cache=True)),
        ("presence-cache-x", ChannelKind(private=True, presence=True, cache=True)),
        ("private-encrypted-x", ChannelKind(private=True, encrypted=True)),
        ("private-encrypted-cache-x", ChannelKind(private=True, encrypted=True, cache=True)),
    ],
)
def test_the_longest_prefix_decides_the_kind(name: str, kind: ChannelKind) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize("name", ["a", "-", "A_b-c=d@e,f.g;h9", "x" * 164])
def test_a_legal_name_is_accepted(name: str) -> None:
    assert is_channel_name(name, 164)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\n", "ä", "#x", "a:b", "x" * 165, "٣"])
def test_an_illegal_name_is_refused(name: str) -> None:
    assert not is_channel_name(name, 164)
