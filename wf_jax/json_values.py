"""Reads values from the JSON of strangers safely, as checked dataclasses."""

import dataclasses
import json
import reprlib
import types
import typing
from functools import lru_cache
from typing import Any

_LONGEST_INTEGER = 20  # characters; of longer ones Python's floats, formats and checks raise


def parse_json(text: bytes | str) -> Any:
    """Parses JSON; whole numbers of more than 20 characters become floats.

    Raises:
        ValueError: it is damaged, or nested too deeply.
    """
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= _LONGEST_INTEGER else float(text)


def from_json(kind: Any, value: Any, name: str = "") -> Any:
    """Inverts `dataclasses.asdict` after JSON, which made lists of the tuples.

    Args:
        kind: a dataclass, or the type of one of its fields: str, bool, int, float, Any, a
            dataclass, tuple[X, ...], dict[str, X], or X | None of these.
        value: the parsed JSON.
        name: of the field, for messages.

    Raises:
        ValueError: a field is missing, unknown or of another type; or what the dataclass raises.
    """
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, name)
    if kind is Any:
        return value
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else from_json(inner[0], value, name)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{name} {reprlib.repr(value)} is not a list")
        return tuple(from_json(inner[0], item, name) for item in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{name} {reprlib.repr(value)} is not a table")
        return {key: from_json(inner[1], item, f"{name}.{key}") for key, item in value.items()}
    if kind is float and type(value) is int:
        if abs(value) > 1 << 53:
            raise ValueError(f"{name} {reprlib.repr(value)} is no number that a float holds")
        return float(value)
    if isinstance(kind, type) and type(value) is not kind:
        raise ValueError(f"{name} {reprlib.repr(value)} is not of type {kind.__name__}")
    return value


def _dataclass(kind: type, values: Any, name: str) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"{name or kind.__name__} is not a table")
    kinds = _kinds(kind)
    fields = [field.name for field in dataclasses.fields(kind)]
    wrong = sorted(set(values) ^ set(fields))
    if wrong:
        state = "missing" if wrong[0] in fields else "unknown"
        plain = wrong[0].isidentifier() and len(wrong[0]) < 40
        field = wrong[0] if plain else reprlib.repr(wrong[0])
        raise ValueError(f"{name + '.' if name else ''}{field} is {state}")
    prefix = f"{name}." if name else ""
    return kind(**{key: from_json(kinds[key], values[key], prefix + key) for key in fields})


@lru_cache
def _kinds(kind: type) -> dict[str, Any]:
    """Returns the fields' types; cached, since finding them takes longest."""
    return typing.get_type_hints(kind)
