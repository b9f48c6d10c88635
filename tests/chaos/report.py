"""A verdict for people: what came out, and how to see it again."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.history import History
from tests.chaos.run import Verdict

__all__ = ["command_for", "describe"]

_SHOWN = 12


def command_for(verdict: Verdict, clients: int) -> str:
    """What replays a run: the same faults, whims and events, if not the same scheduling."""
    return (
        f".venv/bin/python -m tests.chaos --engine {verdict.engine} --seed {verdict.seed} "
        f"--seconds {verdict.seconds:g} --clients {clients}"
    )


def describe(verdict: Verdict, clients: int, directory: Path) -> str:
    """One line if all is well, else everything that helps to find out why."""
    figures = ", ".join(f"{name} {value:.4g}" for name, value in verdict.figures.items())
    head = f"{verdict.engine}, seed {verdict.seed}: "
    if not verdict.differences:
        return f"{head}all is well. {figures}\n"
    lines = [f"{head}{len(verdict.differences)} differences. {figures}", "faults:"]
    lines += [f"  {fault}" for fault in verdict.faults]
    lines += ["differences, the first of each kind first:"]
    lines += [f"  {text}" for text in _varied(verdict.differences)[:_SHOWN]]
    lines += [f"logs: {directory}", f"again: {command_for(verdict, clients)}"]
    (directory / "verdict.txt").write_text("\n".join([*lines, "all:", *verdict.differences]) + "\n")
    (directory / "connections.txt").write_text("\n".join(_traces(verdict.history)) + "\n")
    return "\n".join(lines) + "\n"


def _traces(history: History) -> Iterator[str]:
    """Everything that was said on every connection, published, told and excused."""
    for link in history.links:
        until = "now" if link.closed is None else f"{link.closed:.3f}, {link.close}"
        yield f"{link}: {link.opened:.3f} to {until}"
        yield from (f"  {at:.3f} {text}" for at, text in link.trace)
    yield from map(str, history.publishes)
    yield from map(str, history.webhooks)
    yield from map(str, history.outages)


def _varied(differences: list[str]) -> list[str]:
    """In an order in which the first ones say as much as possible."""
    seen: Counter[str] = Counter()
    ranked = []
    for at, text in enumerate(differences):
        kind = " ".join(re.sub(r"\d+", "", text).split()[:4])
        ranked.append((seen[kind], at, text))
        seen[kind] += 1
    return [text for _, _, text in sorted(ranked)]
