"""What one check of ``doctor`` says."""

from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["Finding", "State"]

State = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        check: its name, which scripts may rely on.
        state: whether it keeps a server from working, or may do so one day.
        found: what is there.
        fix: the command, or the setting, that makes it right; empty if nothing has to be done.
    """

    check: str
    state: State
    found: str
    fix: str = ""

    def row(self) -> dict[str, str]:
        """As it is shown."""
        return asdict(self)
