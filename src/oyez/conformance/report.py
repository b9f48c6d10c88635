"""What a run found: as a table for people, as JSON to keep, and side by side with other servers."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Outcome", "Report", "Result", "markdown"]

Outcome = Literal["pass", "fail", "skipped"]
_MADE_UP = re.compile(r"(conformance|user|marker)(-[0-9a-f]{8})?-\d+")
_STYLES = {"pass": "green", "fail": "bold red", "skipped": "yellow"}
_SYMBOLS = {"pass": "yes", "fail": "**no**", "skipped": "skipped"}


@dataclass(frozen=True, slots=True)
class Result:
    """One check that was run, or not.

    Attributes:
        detail: of a fail, what was expected and what came; of a skip, the reason.
        seconds: how long it took.
    """

    id: str
    rule: str
    section: str
    source: str
    severity: str
    outcome: Outcome
    detail: str = ""
    seconds: float = 0.0

    @property
    def breaks(self) -> bool:
        """Whether the server breaks a rule that binds it."""
        return self.outcome == "fail" and self.severity == "required"


@dataclass(frozen=True, slots=True)
class Report:
    """All results of one run against one server."""

    server: str
    url: str
    results: list[Result] = field(default_factory=list)

    @property
    def conforms(self) -> bool:
        """Whether no required check failed."""
        return not any(result.breaks for result in self.results)

    def count(self, outcome: Outcome, severity: str | None = None) -> int:
        """How many checks ended so."""
        return sum(
            result.outcome == outcome and severity in (None, result.severity)
            for result in self.results
        )

    def summary(self) -> str:
        """The counts in one sentence."""
        return (
            f"{self.count('pass')} passed, {self.count('fail', 'required')} required and "
            f"{self.count('fail', 'recommended')} recommended failed, "
            f"{self.count('skipped')} skipped"
        )

    def json(self) -> str:
        """The report as it is kept in a file."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `json` has written.

        Raises:
            ValueError: it is something else.
        """
        try:
            value: dict[str, Any] = json.loads(text)
            results = [Result(**each) for each in value["results"]]
            return cls(value["server"], value["url"], results)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a conformance report: {error!r}") from error

    def print(self, console: Console) -> None:
        """Print one line per check and the counts."""
        table = Table(title=f"Conformance of {self.server} at {self.url}", show_lines=False)
        table.add_column("check", overflow="fold", ratio=2)
        table.add_column("result", no_wrap=True)
        table.add_column("rule, and what is wrong", overflow="fold", ratio=5)
        table.add_column("source", overflow="fold", ratio=2)
        for result in self.results:
            rule = Text(result.rule)
            if result.detail:
                rule.append(f"\n{result.detail}", style=_STYLES[result.outcome])
            outcome = Text(result.outcome, style=_STYLES[result.outcome])
            source = Text(f"{result.section}: {result.source}", style="dim")
            table.add_row(Text(result.id), outcome, rule, source)
        console.print(table)
        console.print(self.summary(), highlight=False)


def markdown(reports: Sequence[Report]) -> str:
    """Several reports as one page, a column for each server, a section for each subject."""
    names = [report.server for report in reports]
    lines = [
        "# Conformance",
        "",
        "What `oyez conformance` found, one line per rule of the protocol. A rule is *required* if",
        "Pusher documents it, ships it in an official library, or was observed to keep it; all",
        "others are *recommended*. Checks are skipped that need settings the server was not given.",
        "",
        "| | " + " | ".join(_cell(name) for name in names) + " |",
        "|---|" + "---|" * len(names),
        *_totals(reports),
    ]
    subject = None
    for id, rows in _by_check(reports).items():
        if id.partition(".")[0] != subject:
            subject = id.partition(".")[0]
            lines += ["", f"## {subject}", "", *_heading(names)]
        lines.append(_row(rows))
    lines += ["", "## What failed", ""]
    for report in reports:
        lines += [*_failures(report)]
    return "\n".join(lines).rstrip() + "\n"


def _totals(reports: Sequence[Report]) -> Iterable[str]:
    rows: tuple[tuple[str, Outcome, str | None], ...] = (
        ("passed", "pass", None),
        ("required, failed", "fail", "required"),
        ("recommended, failed", "fail", "recommended"),
        ("skipped", "skipped", None),
    )
    for name, outcome, severity in rows:
        counts = " | ".join(str(report.count(outcome, severity)) for report in reports)
        yield f"| {name} | {counts} |"


def _by_check(reports: Sequence[Report]) -> dict[str, list[Result | None]]:
    found: dict[str, list[Result | None]] = {}
    for column, report in enumerate(reports):
        for result in report.results:
            found.setdefault(result.id, [None] * len(reports))[column] = result
    # Checks that only a later report has come last of their subject, so that none has two sections.
    subjects = list(dict.fromkeys(id.partition(".")[0] for id in found))
    return dict(sorted(found.items(), key=lambda item: subjects.index(item[0].partition(".")[0])))


def _heading(names: Sequence[str]) -> list[str]:
    columns = " | ".join(_cell(name) for name in names)
    return [
        f"| check | rule | class | source | {columns} |",
        "|---|---|---|---|" + "---|" * len(names),
    ]


def _row(results: Sequence[Result | None]) -> str:
    known = next(result for result in results if result is not None)
    cells = [_SYMBOLS[result.outcome] if result else "" for result in results]
    source = f"{known.section}: {known.source}"
    columns = [f"`{known.id}`", known.rule.replace("|", "\\|"), known.severity, source, *cells]
    return f"| {' | '.join(columns)} |"


def _failures(report: Report) -> Iterable[str]:
    failed = [result for result in report.results if result.outcome == "fail"]
    if failed:
        yield f"### {report.server}"
        yield ""
        yield from (f"- `{each.id}` ({each.severity}): {_settled(each.detail)}" for each in failed)
        yield ""


def _settled(detail: str) -> str:
    """A detail without the names made up for one run, so that the next page is the same."""
    return _prose(_MADE_UP.sub(r"\1-N", detail))


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|")


def _prose(text: str) -> str:
    """Text that Markdown leaves alone."""
    for character in "\\`*_<[#":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")
