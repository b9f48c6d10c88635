"""Encrypted channels: private to the server, opaque to it, plain in its own events."""

from oyez.conformance.check import DOCS, SDK, Checks
from oyez.conformance.client import SUCCEEDED
from oyez.conformance.expectations import expect
from oyez.conformance.probe import Probe

__all__ = ["CHECKS"]

CHECKS = Checks("websocket-protocol.md")
_CIPHERTEXT = '{"nonce":"DBb8lGpeUsKBDDfQHy8UBw==","ciphertext":"L6FYR1vFbBSkYXqLbO+eBg=="}'


@CHECKS.add("encrypted.opaque", "9", DOCS)
async def ciphertext_passes_through(probe: Probe) -> None:
    """Ciphertext arrives byte for byte, and so does what is none: nothing is looked at."""
    channel = probe.channel("private-encrypted-")
    client = await probe.subscribed(channel)
    for data in (_CIPHERTEXT, "not encrypted", "{}"):
        await probe.publish(channel, "event", data)
        expect("data", (await client.wait_for("event", channel)).data, data)


@CHECKS.add("encrypted.acknowledgement", "9 and 16", SDK)
async def the_acknowledgement_is_plain(probe: Probe) -> None:
    """The data of subscription_succeeded is exactly `{}`, which Java compares with."""
    channel = probe.channel("private-encrypted-")
    message = await (await probe.connect()).subscribe(channel)
    expect("message", message.value, {"event": SUCCEEDED, "channel": channel, "data": "{}"})


@CHECKS.add("encrypted.batch", "9", DOCS)
async def ciphertext_travels_in_batches(probe: Probe) -> None:
    """Encrypted events travel in batches."""
    channel = probe.channel("private-encrypted-")
    client = await probe.subscribed(channel)
    event = {"name": "event", "channel": channel, "data": _CIPHERTEXT}
    (await probe.api.post("/batch_events", {"batch": [event]})).ok()
    expect("data", (await client.wait_for("event", channel)).data, _CIPHERTEXT)


@CHECKS.add("encrypted.limit", "README.md 4", DOCS)
async def ciphertext_is_what_is_measured(probe: Probe) -> None:
    """The limit of 10 240 bytes holds for the ciphertext as it travels."""
    body = {"name": "e", "channels": [probe.channel("private-encrypted-")], "data": "x" * 10_241}
    (await probe.api.post("/events", body)).expect(413)
