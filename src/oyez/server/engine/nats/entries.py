"""What a deployment keeps in JetStream: one message per subject, in one stream.

JetStream's API is requests with JSON, so it is spoken here over our own connection.
"""

from typing import Any, Final, NamedTuple

import msgspec

from oyez.server.engine import EngineUnavailable
from oyez.server.engine.nats.link import Link
from oyez.server.engine.nats.subjects import Subjects

__all__ = ["Entries", "Found", "Outdated", "read_answer"]

_API: Final = "$JS.API"
_LONGEST: Final = 7 * 86_400 * 10**9  # ns that anything is kept which nobody renews
_REPLICAS: Final = (3, 1)  # as many as the servers can have
_NO_MESSAGE: Final = 10037
_NO_STREAM: Final = 10059
_EXISTS: Final = 10058  # and is configured differently, as its operator may wish
_OUTDATED: Final = (10071, 10164)
_NOT_ENABLED: Final = (10039, 10076)


class Outdated(Exception):
    """Somebody else has written in the meantime."""


class Found(NamedTuple):
    """What is kept of a subject.

    Attributes:
        sequence: its place in the stream, by which `Entries.write` tells that it is the last one.
    """

    message: bytes
    sequence: int


class _Error(msgspec.Struct, frozen=True):
    err_code: int = 1
    description: str = "no reason given"


class _Message(msgspec.Struct, frozen=True):
    seq: int
    data: bytes = b""  # which JSON carries as base64


class _Answer(msgspec.Struct, frozen=True):
    """What is used of any answer."""

    error: _Error | None = None
    message: _Message | None = None
    seq: int | None = None

    @property
    def code(self) -> int:
        """Of the error, 0 if there is none."""
        return self.error.err_code if self.error is not None else 0

    def unavailable(self) -> EngineUnavailable:
        """Return what to raise where the answer does not help."""
        said = self.error.description if self.error is not None else "no answer that can be read"
        return EngineUnavailable(f"JetStream: {said}")


_decode = msgspec.json.Decoder(_Answer).decode
_NOTHING: Final = _Answer()


class Entries:
    """Reads and writes over one connection."""

    def __init__(self, link: Link, subjects: Subjects) -> None:
        self._link = link
        self._subjects = subjects

    async def prepare(self) -> None:
        """Have the stream.

        Raises:
            EngineUnavailable: the broker has no JetStream, or no room.
        """
        # In a cluster whoever has the stream answers this, while others may have no leader.
        answer = await self._call(f"STREAM.INFO.{self._subjects.stream}", {})
        if not answer.code:
            return
        config: dict[str, Any] = {
            "name": self._subjects.stream,
            "subjects": [self._subjects.kept],
            "max_msgs_per_subject": 1,
            "max_age": _LONGEST,
            "allow_msg_ttl": True,
            "storage": "file",
            "retention": "limits",
            "discard": "old",
        }
        for replicas in _REPLICAS:
            config["num_replicas"] = replicas
            answer = await self._call(f"STREAM.CREATE.{self._subjects.stream}", config)
            if answer.code in (0, _EXISTS):
                return
        raise answer.unavailable()

    async def read(self, subject: str) -> Found | None:
        """The last message of a subject.

        Raises:
            EngineUnavailable: JetStream does not say.
        """
        call = f"STREAM.MSG.GET.{self._subjects.stream}"
        answer = await self._call(call, {"last_by_subj": subject})
        if answer.code in (_NO_MESSAGE, _NO_STREAM):
            return None
        if answer.message is None:
            raise answer.unavailable()
        return Found(answer.message.data, answer.message.seq)

    async def write(self, subject: str, message: bytes, after: int) -> int:
        """Keep a message instead of the one at the place ``after``, 0 for none; its place.

        Raises:
            Outdated: another one is the last, and it was not kept.
            EngineUnavailable: whether it was kept is not known.
        """
        headers = f"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: {after}\r\n\r\n".encode()
        answer = await self._link.ask(subject, message, headers=headers)
        if answer.nobody:  # the stream is gone, and what was in it
            await self.prepare()
            raise Outdated("the stream was lost")
        found = read_answer(answer.data)
        if found.error is not None and found.code in _OUTDATED:
            raise Outdated(found.error.description)
        if found.code or found.seq is None:
            raise found.unavailable()
        return found.seq

    def put(self, subject: str, message: bytes, seconds: int = 0) -> None:
        """Keep a message, without waiting; what comes later from here is later there, too.

        Args:
            seconds: after which it is worth nothing; 0 for no limit.
        """
        headers = f"NATS/1.0\r\nNats-TTL: {seconds}\r\n\r\n".encode() if seconds else b""
        self._link.publish(subject, message, headers=headers)

    async def _call(self, name: str, body: dict[str, Any]) -> _Answer:
        answer = await self._link.ask(f"{_API}.{name}", msgspec.json.encode(body))
        found = _NOTHING if answer.nobody else read_answer(answer.data)
        if answer.nobody or found.code in _NOT_ENABLED:
            raise EngineUnavailable(
                "the NATS server has no JetStream (for this account): start it with -js, or with "
                "jetstream {} in its configuration"
            )
        return found


def read_answer(data: bytes) -> _Answer:
    """Read an answer of JetStream.

    Raises:
        EngineUnavailable: it is none.
    """
    try:
        return _decode(data)
    except (ValueError, RecursionError):
        raise EngineUnavailable("JetStream gave an answer that cannot be read") from None
