"""How a check says that a server is wrong, or that it cannot be asked.

A check returns if the rule holds; it raises `Failed` with what was expected and what came instead,
or `Skipped` with the reason.
"""

from typing import Any

__all__ = [
    "Failed",
    "Silence",
    "Skipped",
    "expect",
    "expect_contains",
    "expect_in",
    "expect_that",
    "shown",
]

_LONGEST = 240


class Failed(Exception):
    """The server does not keep the rule: what was expected, and what came instead."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"expected {expected}, got {actual}")


class Silence(Failed):
    """Nothing came in time."""


class Skipped(Exception):
    """The rule cannot be checked here, for the reason in ``str(error)``."""


def shown(value: object) -> str:
    """A value short enough for a sentence."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def expect(what: str, actual: Any, expected: Any) -> None:
    """``actual`` equals ``expected`` and has its type, so that 1 is not true."""
    if actual != expected or isinstance(actual, bool) != isinstance(expected, bool):
        raise Failed(f"{what} {shown(expected)}", shown(actual))


def expect_fields(what: str, actual: Any, expected: dict[str, Any]) -> None:
    """``actual`` is an object with at least these fields and values."""
    found = actual if isinstance(actual, dict) else {}
    if any(name not in found or found[name] != value for name, value in expected.items()):
        raise Failed(f"{what} with {shown(expected)}", shown(actual))


def expect_contains(what: str, actual: str, part: str) -> None:
    """``part`` occurs in ``actual``."""
    if part not in actual:
        raise Failed(f"{what} with {shown(part)}", shown(actual))


def expect_in(what: str, actual: object, allowed: tuple[object, ...]) -> None:
    """``actual`` is one of ``allowed``."""
    if actual not in allowed:
        raise Failed(f"{what} one of {shown(allowed)}", shown(actual))


def expect_that(holds: bool, expected: str, actual: object) -> None:
    """A condition that equality does not express, in words."""
    if not holds:
        raise Failed(expected, shown(actual))
