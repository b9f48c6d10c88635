"""A check as a value: which rule, from where, how binding, and how to find out."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import Flag, auto

from oyez.conformance.probe import Probe

__all__ = ["ADVICE", "DOCS", "OBSERVED", "PEERS", "SDK", "Check", "Checks", "Source"]


class Source(Flag):
    """Where a rule is known from, in falling authority."""

    DOCS = auto()
    SDK = auto()
    OBSERVED = auto()
    PEERS = auto()
    ADVICE = auto()

    @property
    def words(self) -> str:
        """For people."""
        return ", ".join(_WORDS[each] for each in self)

    @property
    def severity(self) -> str:
        """What Pusher documents, ships or does is required; all else is recommended."""
        binding = Source.DOCS | Source.SDK | Source.OBSERVED
        return "required" if self & binding else "recommended"


DOCS, SDK, OBSERVED, PEERS, ADVICE = Source
_WORDS = {
    DOCS: "Pusher docs",
    SDK: "official SDK source",
    OBSERVED: "observed",
    PEERS: "peer servers",
    ADVICE: "recommendation",
}

Run = Callable[[Probe], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of the specification.

    Attributes:
        id: stable, with dots, from the general to the particular.
        rule: one sentence.
        section: file and section of the specification.
        source: where the rule is known from.
        needs: names of second apps, settings of the main app and options of the run, without any
            of which it is skipped.
        run: returns if the rule holds, raises otherwise.
    """

    id: str
    rule: str
    section: str
    source: Source
    needs: tuple[str, ...]
    run: Run


class Checks:
    """The checks of one subject, added by a decorator.

    Args:
        page: file of the specification that the sections belong to.
    """

    def __init__(self, page: str) -> None:
        self._page = page
        self._checks: list[Check] = []

    def __iter__(self) -> Iterator[Check]:
        return iter(self._checks)

    def add(
        self,
        id: str,
        section: str,
        source: Source,
        *needs: str,
        rule: str = "",
    ) -> Callable[[Run], Run]:
        """Register the decorated function, whose docstring is the rule, under ``id``.

        Args:
            section: ``2.3`` of the subject's page, or a page and a section of its own.
            rule: for functions made in a loop, which have no docstring of their own.
        """

        def register(run: Run) -> Run:
            place = section if ".md" in section.partition(" ")[0] else f"{self._page} {section}"
            sentence = rule or " ".join((run.__doc__ or "").split())
            self._checks.append(Check(id, sentence, place, source, needs, run))
            return run

        return register
