"""One endpoint's courier, with an outbox of its own and a receiver in this process."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from oyez.protocol.signing import Token
from oyez.protocol.webhooks import Endpoint
from oyez.server.webhooks.courier import Courier, Policy
from oyez.server.webhooks.letters import Letter
from oyez.server.webhooks.outbox import Outbox


class PostsOneMore:
    """Takes everything, and has one more letter posted in the moment in which the lane is empty."""

    def __init__(self, more: list[Letter]) -> None:
        self.courier: Courier | None = None
        self.more = more
        self.taken: list[bytes] = []

    async def send(
        self, target: str, headers: Mapping[str, str], body: bytes, events: Sequence[bytes]
    ) -> None:
        self.taken += events
        assert self.courier is not None
        if self.more:
            asyncio.get_running_loop().call_soon(self.courier.post, self.more.pop())

    async def close(self) -> None: ...


def letter(number: int) -> Letter:
    return Letter(f"{number}", number, "1", "http://x", "news", b'{"n":%d}' % number, 0)


async def test_a_letter_posted_as_the_lane_runs_empty_does_not_wait(tmp_path: Path) -> None:
    async with Outbox(f"sqlite:///{tmp_path / 'outbox.db'}") as outbox:
        sender = PostsOneMore([letter(2)])
        endpoint = Endpoint("http://x", frozenset(), batching=False)
        sender.courier = Courier(endpoint, Token("k", "s"), sender, outbox, Policy())

        sender.courier.post(letter(1))
        for _ in range(20):
            await asyncio.sleep(0)

        assert sender.taken == [b'{"n":1}', b'{"n":2}']
        assert sender.courier.pending == 0
