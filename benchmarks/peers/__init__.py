"""The servers that `make bench-peers` measures: how each is installed, started and spoken to."""

from __future__ import annotations

from benchmarks.peers.centrifugo import Centrifugo
from benchmarks.peers.nchan import Nchan
from benchmarks.peers.oyez import Oyez
from benchmarks.peers.peer import Peer
from benchmarks.peers.sockudo import Sockudo
from benchmarks.peers.soketi import Soketi

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (Oyez(), Soketi(), Nchan(), Centrifugo(), Sockudo())
}

__all__ = ["PEERS", "Peer"]
