"""A deputy does likewise all that the keeper does, so that it can take its place.

It asks the keeper for all that it knows and does from then on what the keeper tells of. The keeper
tells before it answers, on the same connection: what has been answered, the broker has passed on to
the deputies. A deputy that misses something begins anew.
"""

from typing import Final

import msgspec
import structlog

from oyez.server.engine import ChannelFull, EngineUnavailable
from oyez.server.engine.backplane import Stale
from oyez.server.engine.messages import Refused
from oyez.server.engine.nats import wire
from oyez.server.engine.nats.link import Link, Message
from oyez.server.engine.nats.store import Store, StoreState
from oyez.server.engine.nats.subjects import Subjects

__all__ = ["MOST", "Deputies", "Deputy", "Snapshot"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.engine")

MOST: Final = 2  # deputies of a keeper
_ANEW: Final = 16  # announcements until a deputy that was refused asks again
_RENEW: Final = 2  # announcements between two signs of life of a deputy
_FORGOTTEN: Final = 16  # renewals of a keeper without a sign of life of a deputy


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """All that a keeper knows, after the change with this position."""

    position: int
    now: float
    state: StoreState


class Deputies:
    """The deputies of a keeper, as far as it knows; counts its renewals."""

    def __init__(self) -> None:
        self._silent: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._silent)

    def admit(self, who: str) -> bool:
        """Whether there is a place for this one; it is there, too, for those who have it."""
        if who not in self._silent and len(self._silent) >= MOST:
            return False
        self._silent[who] = 0
        return True

    def renewed(self) -> None:
        """Forget those that have given no sign of life for long."""
        self._silent = {who: n + 1 for who, n in self._silent.items() if n < _FORGOTTEN}


class Deputy:
    """This node, while it is not the keeper.

    Args:
        who: a name that is used once.
        lease: seconds, of incarnations.
    """

    def __init__(self, link: Link, subjects: Subjects, who: str, lease: float) -> None:
        self._link = link
        self._subjects = subjects
        self._who = who
        self._lease = lease
        self._term = 0
        self._sid = 0
        self._store: Store | None = None
        self._position = -1
        self._now = 0.0
        self._early: list[wire.Logged] = []
        self._question = b""
        self._received = bytearray()
        self._patience = 0

    def replica(self, term: int) -> tuple[Store, float] | None:
        """What the keeper of a term knew, and what its clock showed then; it is given away."""
        if term != self._term or self._store is None:
            return None
        return self._store, self._now

    def announced(self, entry: wire.Entry) -> None:
        """The keeper gives a sign of life; follow it, and see whether something was missed."""
        if entry.who == self._who:
            self.end()
            return
        if entry.term != self._term:
            self.end()
            self._term = entry.term
        if self._store is not None and self._position < entry.position:
            self._restart("a change was missed")
        self._patience -= 1
        if self._patience <= 0:
            self._patience = _ANEW if self._store is None else _RENEW
            self._ask()

    def end(self) -> None:
        """Be nobody's deputy."""
        self._term = 0
        self._restart("")

    def _restart(self, reason: str) -> None:
        if reason:
            log.warning("deputy begins anew", reason=reason)
        self._store = None
        self._position = -1
        self._early.clear()
        self._patience = 0
        self._link.forget(self._question)
        self._link.unsubscribe(self._sid)
        self._sid = 0

    def _ask(self) -> None:
        """For all that is known; or give a sign of life if that is here already."""
        self._link.forget(self._question)
        self._received = bytearray()
        if not self._sid:
            self._sid = self._link.subscribe(self._subjects.log(self._term), self._logged)
        self._early.clear()  # the answer will have it
        message = wire.write([wire.Deputize(self._who, self._position)])
        self._question = self._link.question(
            self._subjects.keeper(self._term), message, self._answered
        )

    def _answered(self, message: Message) -> None:
        if message.nobody:
            self._patience = 0
        if message.nobody or self._store is not None:
            return
        try:
            answers = wire.join_pieces(self._received, message.data)
            if answers is None:
                return
            if not answers or answers[0].outcome != "done":  # it has deputies enough
                self._link.unsubscribe(self._sid)
                self._sid = 0
                return
            snapshot: Snapshot = wire.value(answers[0].value, Snapshot)
        except (Refused, EngineUnavailable) as error:
            log.warning("the keeper takes no deputy", error=str(error))
            return
        number = iter(range(1, 1 << 62)).__next__  # a keeper has its own, and larger ones
        self._store = Store(self._lease, number, lambda *_: None)
        self._store.assume(snapshot.state)
        self._position, self._now = snapshot.position, snapshot.now
        early, self._early = self._early, []
        for logged in early:
            self._do(logged)

    def _logged(self, message: Message) -> None:
        try:
            logged: wire.Logged = wire.read(message.data, wire.Logged)
        except Refused as error:
            log.warning("change refused", error=str(error))
            self._restart("a change cannot be read")
            return
        if self._store is None:
            self._early.append(logged)
        else:
            self._do(logged)

    def _do(self, logged: wire.Logged) -> None:
        if self._store is None or logged.position <= self._position:
            return
        if logged.position != self._position + 1:
            self._restart("a change was missed")
            return
        self._position, self._now = logged.position, logged.now
        for request in logged.requests:
            try:
                self._store.do(request, logged.now)
            except (Stale, ChannelFull):
                self._restart("a change could not be made likewise")
                return
