"""The shapes of load of `make bench-peers`, each runnable by itself: a stage in, rows out."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.sections import Row
from benchmarks.shapes import chat, connect, fanout, growth, isolation, memory, publish
from benchmarks.stage import Stage

SHAPES: dict[str, Callable[[Stage], list[Row]]] = {
    "fanout": fanout.measure,
    "chat": chat.measure,
    "publish": publish.measure,
    "connect": connect.measure,
    "memory": memory.measure,
    "growth": growth.measure,
    "isolation": isolation.measure,
}
