"""The table of every SDK has an entry for ours everywhere, and each entry exists."""

import inspect
import re
from pathlib import Path

import oyez

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sdk.md"


def test_our_column_is_full_and_true() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines()[7:]]
    rows = [row for row in rows if len(row) > 1]
    assert len(rows) > 30
    options = inspect.signature(oyez.Client).parameters
    for row in rows:
        assert len(row) == 9, row
        for text in re.findall(r"`([^`]+)`", row[8]):
            name, _, arguments = text.partition("(")
            if name == "Client":
                assert arguments.partition("=")[0] in options, row
            elif arguments:
                method = getattr(oyez.Client, name)
                given = {each.split("=")[0] for each in re.findall(r"[a-z_]+(?==)", arguments)}
                assert given <= set(inspect.signature(method).parameters), row
                assert hasattr(oyez.AsyncClient, "aclose" if name == "close" else name), row
            else:
                assert name == "with" or hasattr(oyez, name), row


def test_both_clients_have_the_same_methods() -> None:
    def public(kind: type) -> dict[str, inspect.Signature]:
        return {
            name: inspect.signature(method)
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") and name not in ("close", "aclose")
        }

    assert public(oyez.Client) == public(oyez.AsyncClient)
