"""Configuration from tables: a frozen dataclass out of a TOML or JSON mapping, every problem named at once."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class FieldProblems(ValueError):  # noqa: N818 - holds all the problems of a table, each one sentence
    """All that is wrong with one table; `problems` holds one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def from_mapping(kind: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """Build a dataclass from a mapping, nested dataclasses and tuples of them included.

    Args:
        kind: the dataclass.
        table: key -> value, as `tomllib` or `json` give them.
        where: the name of the table in error texts, such as `train`.

    Raises:
        FieldProblems: unknown keys (with the nearest name, or the one that `kind.MOVED` gives for a former key), wrong
            types, and what `__post_init__` refuses.
    """
    problems: list[str] = []
    result = _build(kind, table, where, problems)
    if problems:
        raise FieldProblems(problems)
    return cast("T", result)


def to_mapping(value: Any) -> dict[str, Any]:
    """The mapping that `from_mapping` builds the same dataclass from."""
    return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_mapping(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _build(kind: Any, table: Any, where: str, problems: list[str]) -> Any:
    if not isinstance(table, Mapping):
        problems.append(f"{where or 'the file'} is {table!r}, expected a table")
        return None
    prefix = f"{where}." if where else ""
    known = {f.name: f for f in dataclasses.fields(kind)}
    hints = get_type_hints(kind)
    before = len(problems)
    values = {}
    for key, value in table.items():
        name = prefix + key
        if key not in known:
            if moved := getattr(kind, "MOVED", {}).get(key):
                problems.append(f"{name!r} stands in [{moved.partition('.')[0]}] now: {moved}")
                continue
            near = get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {prefix + near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            problems.append(f"unknown key {name!r}; {hint}")
            continue
        values[key] = _convert(hints[key], value, name, problems)
    for name, known_field in known.items():
        wanted = known_field.default is dataclasses.MISSING and known_field.default_factory is dataclasses.MISSING
        if wanted and name not in table:
            problems.append(f"key {prefix + name!r} is missing")
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except ValueError as error:
        problems.append(f"{where + ': ' if where else ''}{error}")
        return None


def _convert(hint: Any, value: Any, where: str, problems: list[str]) -> Any:  # noqa: PLR0911 - one return a kind
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where, problems)
    if origin in (Union, types.UnionType):
        return _convert_union(get_args(hint), value, where, problems)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            problems.append(f"{where} is {value!r}, expected a list")
            return ()
        item = get_args(hint)[0]
        return tuple(_convert(item, v, f"{where}[{i}]", problems) for i, v in enumerate(value))
    if origin in (Mapping, dict) or hint is dict:
        if not isinstance(value, Mapping):
            problems.append(f"{where} is {value!r}, expected a table")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        problems.append(f"{where} is {value!r}, expected {hint.__name__}")
    return value


def _convert_union(options: tuple[Any, ...], value: Any, where: str, problems: list[str]) -> Any:
    if value is None and type(None) in options:
        return None
    for option in (option for option in options if option is not type(None)):
        attempt: list[str] = []
        result = _convert(option, value, where, attempt)
        if not attempt:
            return result
    names = " or ".join(getattr(o, "__name__", str(o)) for o in options if o is not type(None))
    problems.append(f"{where} is {value!r}, expected {names}")
    return value
