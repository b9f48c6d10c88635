"""What goes wrong, and when: drawn from a seed, bounded, the same for the same seed.

Pure: a plan is a list of values. `storm` carries it out.
"""

import random
from dataclasses import dataclass, replace
from enum import Enum

__all__ = ["ENGINE_FAULTS", "LINK_FAULTS", "Fault", "Kind", "plan"]


class Kind(Enum):
    """What can go wrong: of one node, of its link to the engine or to clients, of the engine."""

    KILL = "kill"  # kill -9, and another start after the time
    PAUSE = "pause"  # SIGSTOP, and SIGCONT after the time
    BLIP = "blip"  # every connection of a link breaks, new ones may be made
    CUT = "cut"  # the same, and none can be made
    DROP = "drop"  # bytes are swallowed, nobody notices; broken when it ends
    STALL = "stall"  # bytes are held back, and arrive when it ends
    DEAF = "deaf"  # half open: the engine does not hear the node, or the node its clients
    MUTE = "mute"  # half open: the other way
    DELAY = "delay"
    THROTTLE = "throttle"
    CLIENTS = "clients"  # every client of the node loses its connection
    RESTART = "restart"  # the engine is killed and started again with what it had
    WIPE = "wipe"  # the same, and it has lost everything
    FLUSH = "flush"  # the engine loses everything without being away
    HANG = "hang"  # the engine is stopped with SIGSTOP, and goes on


ENGINE_FAULTS = frozenset({Kind.RESTART, Kind.WIPE, Kind.FLUSH, Kind.HANG})
LINK_FAULTS = frozenset(
    {
        Kind.BLIP,
        Kind.CUT,
        Kind.DROP,
        Kind.STALL,
        Kind.DEAF,
        Kind.MUTE,
        Kind.DELAY,
        Kind.THROTTLE,
    }
)
_OF_CLIENTS = 0.35  # of those on links
_INSTANT = frozenset({Kind.BLIP, Kind.CLIENTS, Kind.FLUSH})
_AT_ONCE = 2  # faults that overlap


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        at: seconds after the beginning of the storm.
        seconds: how long it lasts.
        node: whose; None for those of the engine.
        amount: seconds of a delay, bytes per second of a throttle, else 0.
        clients: whether it is the link to the node's clients, and not to the engine.
    """

    at: float
    kind: Kind
    seconds: float = 0.0
    node: int | None = None
    amount: float = 0.0
    clients: bool = False

    @property
    def until(self) -> float:
        return self.at + self.seconds

    def __str__(self) -> str:
        where = "engine" if self.node is None else f"node {self.node}"
        where += " to its clients" if self.clients else ""
        lasts = f" for {self.seconds:.2f} s" if self.seconds else ""
        amount = f" ({self.amount:g})" if self.amount else ""
        return f"{self.at:6.2f} s  {self.kind.value:<8} {where}{lasts}{amount}"


def plan(
    seed: int,
    seconds: float,
    *,
    nodes: int = 3,
    lease: float = 2.0,
    kinds: frozenset[Kind] = frozenset(Kind),
) -> list[Fault]:
    """The faults of a storm, in their order.

    All kinds come up before any does again, as far as time permits. At most two overlap, never two
    of the same node or of the engine, and all are over when the time is.
    """
    chance = random.Random(seed)
    faults: list[Fault] = []
    deck: list[Kind] = []
    now = chance.uniform(1.0, 2.0)
    while True:
        if not deck:
            deck = sorted(kinds, key=lambda kind: kind.value)
            chance.shuffle(deck)
        fault = _draw(chance, now, deck.pop(), nodes, lease)
        now = fault.at + chance.uniform(0.3, 1.5 * lease)
        fault = _later(fault, faults)
        if fault.until > seconds:
            return sorted(faults, key=lambda each: each.at)
        faults.append(fault)
        now = max(now, fault.at)


def _draw(chance: random.Random, at: float, kind: Kind, nodes: int, lease: float) -> Fault:
    """Half of them are shorter than the lease, half are longer."""
    short, long = (0.1, 0.8 * lease), (1.2 * lease, 2.5 * lease)
    node, length = chance.randrange(nodes), chance.uniform(*chance.choice((short, long)))
    amount = 0.0
    if kind is Kind.DELAY:
        amount = chance.choice((0.02, 0.1, 0.3))
    elif kind is Kind.THROTTLE:
        amount = chance.choice((4_000.0, 20_000.0, 60_000.0))
    elif kind in (Kind.RESTART, Kind.WIPE, Kind.HANG):
        length = min(length, 1.5 * lease)  # all nodes are away meanwhile: leave time for more
    return Fault(
        round(at, 2),
        kind,
        0.0 if kind in _INSTANT else round(length, 2),
        None if kind in ENGINE_FAULTS else node,
        amount,
        kind in LINK_FAULTS and chance.random() < _OF_CLIENTS,
    )


def _later(fault: Fault, faults: list[Fault]) -> Fault:
    """The same fault, as late as the bounds ask for."""
    while True:
        active = [each for each in faults if each.until > fault.at]
        rival = [each for each in active if each.node == fault.node]
        blocking = rival if rival else active if len(active) >= _AT_ONCE else []
        if not blocking:
            return fault
        at = round(min(each.until for each in blocking) + 0.2, 2)
        fault = replace(fault, at=at)
