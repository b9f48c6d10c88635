"""Renders saved reports of several servers as one Markdown page.

``python -m oyez.conformance.matrix PAGE.md OURS.json THEIRS.json …``
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from oyez.conformance.report import Report, markdown

__all__ = ["main", "write"]


def write(page: Path, reports: Sequence[Path]) -> None:
    """Write the page, one column per report in the order given.

    Raises:
        ValueError: a file is no report.
    """
    parsed = [Report.parse(path.read_text(encoding="utf-8")) for path in reports]
    page.write_text(markdown(parsed), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="oyez.conformance.matrix", description=__doc__)
    parser.add_argument("page", type=Path, help="Markdown file to write")
    parser.add_argument("reports", type=Path, nargs="+", help="JSON files of oyez conformance")
    given = parser.parse_args(arguments)
    write(given.page, given.reports)


if __name__ == "__main__":
    main()
