"""Dataclasses of plain values from JSON: every field checked, none missing, none unknown."""

import dataclasses
import reprlib
import types
import typing
from typing import Any


def from_json(kind: Any, value: Any, name: str = "") -> Any:
    """The inverse of `dataclasses.asdict` after JSON, which made lists of the tuples.

    Args:
        kind: a dataclass, or what one of its fields is declared as: str, bool, int, float, Any, a
            dataclass, tuple[X, ...], dict[str, X], or X | None of these.
        value: what JSON holds.
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
    kinds = typing.get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind)]
    wrong = sorted(set(values) ^ set(fields))
    if wrong:
        state = "missing" if wrong[0] in fields else "unknown"
        plain = wrong[0].isidentifier() and len(wrong[0]) < 40
        field = wrong[0] if plain else reprlib.repr(wrong[0])
        raise ValueError(f"{name + '.' if name else ''}{field} is {state}")
    prefix = f"{name}." if name else ""
    return kind(**{key: from_json(kinds[key], values[key], prefix + key) for key in fields})
