"""What a deployment keeps in JetStream: one message per subject, in one stream.

JetStream's API is requests with JSON, so it is spoken here over our own connection.
"""

import json
from base64 import b64decode
from typing import Any, Final, NamedTuple

from oyez.server.engine import EngineUnavailable
from oyez.server.engine.nats.link import Link
from oyez.server.engine.nats.subjects import Subjects

__all__ = ["Entries", "Found", "Outdated"]

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
        if not _code(answer):
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
            if _code(answer) in (0, _EXISTS):
                return
        raise EngineUnavailable(f"JetStream: {_said(answer)}")

    async def read(self, subject: str) -> Found | None:
        """The last message of a subject.

        Raises:
            EngineUnavailable: JetStream does not say.
        """
        call = f"STREAM.MSG.GET.{self._subjects.stream}"
        answer = await self._call(call, {"last_by_subj": subject})
        if _code(answer) in (_NO_MESSAGE, _NO_STREAM):
            return None
        if _code(answer):
            raise EngineUnavailable(f"JetStream: {_said(answer)}")
        message = answer["message"]
        return Found(b64decode(message.get("data", "")), message["seq"])

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
        found = _parse(answer.data)
        if _code(found) in _OUTDATED:
            raise Outdated(_said(found))
        if _code(found) or "seq" not in found:
            raise EngineUnavailable(f"JetStream: {_said(found)}")
        sequence: int = found["seq"]
        return sequence

    def put(self, subject: str, message: bytes, seconds: int = 0) -> None:
        """Keep a message, without waiting; what comes later from here is later there, too.

        Args:
            seconds: after which it is worth nothing; 0 for no limit.
        """
        headers = f"NATS/1.0\r\nNats-TTL: {seconds}\r\n\r\n".encode() if seconds else b""
        self._link.publish(subject, message, headers=headers)

    async def _call(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._link.ask(f"{_API}.{name}", json.dumps(body).encode())
        found = {} if answer.nobody else _parse(answer.data)
        if answer.nobody or _code(found) in _NOT_ENABLED:
            raise EngineUnavailable(
                "the NATS server has no JetStream (for this account): start it with -js, or with "
                "jetstream {} in its configuration"
            )
        return found


def _parse(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise EngineUnavailable("JetStream gave an answer that cannot be read")
    return found


def _code(answer: dict[str, Any]) -> int:
    error: dict[str, Any] = answer.get("error") or {}
    return int(error.get("err_code", 0) or bool(error))


def _said(answer: dict[str, Any]) -> str:
    error: dict[str, Any] = answer.get("error") or {}
    return str(error.get("description", "no answer that can be read"))
