"""Tables of settings, one laid over the other."""

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["merged"]

_Table = Mapping[str, Any]


def merged(first: _Table, second: _Table) -> dict[str, Any]:
    """Both, where tables are merged and anything else in ``second`` wins."""
    found = dict(first)
    for name, value in second.items():
        old = found.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        found[name] = merged(cast(_Table, old), cast(_Table, value)) if both else value
    return found
