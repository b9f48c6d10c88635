"""Where a wrong setting was given: by a flag, a variable, or a line of a file; and what is meant.

pydantic says which setting is wrong; this says it as a person would, with the place to go to.
"""

import difflib
import os
import re
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["faults", "from_flags"]

Location = tuple[int | str, ...]

_TABLE: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_.\"'-]+)\s*=")
_BY_TYPE: Final = {
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "dict_type": "expected a table",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "list_type": "expected a list",
    "missing": "is missing",
    "model_type": "expected a table",
    "string_type": "expected a text",
    "tuple_type": "expected a list",
}
_ALTERNATIVES: Final = frozenset({"bool", "float", "int", "str"})
_WORDS: Final = (
    ("Input should be greater than or equal to", "must be at least"),
    ("Input should be less than or equal to", "must be at most"),
    ("Input should be greater than", "must be more than"),
    ("Input should be", "expected"),
)


def from_flags(error: "ValidationError", given: Mapping[str, Any]) -> bool:
    """Return whether any of what is wrong came from the command line."""
    return any(_flag(each["loc"], given) for each in error.errors())


def faults(
    error: "ValidationError", model: "type[BaseModel]", given: Mapping[str, Any], file: Path | None
) -> str:
    """Return a line for each thing that is wrong.

    Args:
        model: of all settings.
        given: what the command line had, by the names of settings.
        file: which was read.
    """
    text = file.read_text() if file is not None else ""
    lines = []
    for each in error.errors():
        location = tuple(part for part in each["loc"] if not _is_of_pydantic(part))
        if location[-1:] and location[-1] in _ALTERNATIVES:  # one error for each of them
            location, sentence = location[:-1], "expected a text, a number, true or false"
        else:
            sentence = _sentence(dict(each), location, model)
        lines.append(f"  {_source(location, given, text, file)}: {sentence}")
    return "\n".join(dict.fromkeys(lines))


def _is_of_pydantic(part: int | str) -> bool:
    """Return whether a part of a location names an alternative of a union, not a setting."""
    return isinstance(part, str) and "[" in part


def _name(location: Location) -> str:
    """Return a place in the configuration as text: ``apps[0].limits.event_data``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "settings"


def _sentence(error: Mapping[str, Any], location: Location, model: "type[BaseModel]") -> str:
    kind, value = error["type"], error["input"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return "there is no such setting" + _meant(location, model)
    sentence = _BY_TYPE.get(kind) or error["msg"].removeprefix("Value error, ")
    for theirs, ours in _WORDS:
        sentence = sentence.replace(theirs, ours)
    # Only what was to be a number or a switch is repeated: a text may be a secret.
    if kind.startswith(("int_", "float_", "bool_", "greater_", "less_")):
        return f"{sentence}, not {value!r}"
    return sentence


def _meant(location: Location, model: "type[BaseModel]") -> str:
    *parents, name = location
    known = _settings_of(model, parents)
    close = difflib.get_close_matches(str(name), known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _settings_of(kind: Any, parents: list[int | str]) -> list[str]:
    """Return the names of the settings in a table."""
    for part in parents:
        if isinstance(part, str):
            hints = typing.get_type_hints(kind)
            kind = _table_in(hints.get(part))
            if kind is None:
                return []
    if is_dataclass(kind):
        return [each.name for each in fields(kind)]
    return list(kind.model_fields)


def _table_in(hint: Any) -> Any:
    """Return the model in a type such as ``list[Model] | None``."""
    if isinstance(hint, type) and (hasattr(hint, "model_fields") or is_dataclass(hint)):
        return hint
    for each in typing.get_args(hint):
        if (found := _table_in(each)) is not None:
            return found
    return None


def _flag(location: Location, given: Mapping[str, Any]) -> str:
    name = str(location[0]) if location else ""
    return f"--{name.replace('_', '-')}" if given.get(name) is not None else ""


def _source(location: Location, given: Mapping[str, Any], text: str, file: Path | None) -> str:
    if flag := _flag(location, given):
        return flag
    names = [str(part).upper() for part in location]
    for count in range(len(names), 0, -1):
        if (variable := "OYEZ_" + "__".join(names[:count])) in os.environ:
            return f"{variable}: {_name(location)}"
    line = _line(location, text)
    return (f"{file}, line {line}: " if line else "") + _name(location)


def _line(location: Location, text: str) -> int:
    """Return the line of a TOML file where a setting is, or the table around it; 0 for none."""
    found, best = 0, 0
    table: Location = ()
    counts: dict[Location, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        here: Location | None = None
        if header := _TABLE.fullmatch(line):
            table = here = _table(header[2], header[1] == "[[", counts)
        elif key := _KEY.match(line):
            here = (*table, *(part.strip("\"' ") for part in key[1].split(".")))
        if here is not None and len(here) > best and location[: len(here)] == here:
            found, best = number, len(here)
    return found


def _table(name: str, is_one_of_many: bool, counts: dict[Location, int]) -> Location:
    """Return the place of a table, with the number of each list on the way."""
    place: Location = ()
    parts = [part.strip("\"' ") for part in name.split(".")]
    for at, part in enumerate(parts):
        place = (*place, part)
        if is_one_of_many and at == len(parts) - 1:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place
