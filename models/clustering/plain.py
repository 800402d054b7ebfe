"""Frozen records to plain data and back, by their type hints."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from nlp.errors import ClusteringError

_Record = TypeVar("_Record")


def to_plain(value: Any) -> Any:
    """Dictionaries, lists, numbers and strings that hold the same."""
    kind: type = type(value)
    if is_dataclass(kind):
        return {name: to_plain(getattr(value, name)) for name in _names(kind)}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[_Record], data: Any) -> _Record:
    """The record that plain data stands for.

    Raises:
        ClusteringError: a field is missing, unknown or of another type; the message says where.
    """
    record: _Record = _build(kind, data, kind.__name__.lower())
    return record


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _required(kind: type) -> frozenset[str]:
    return frozenset(
        field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING
    )


def _build(kind: Any, data: Any, place: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return data
    if is_dataclass(kind) and isinstance(kind, type):
        return _build_record(kind, data, place)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise _wrong(place, data, "a list")
        inner = get_args(kind)[0]
        return tuple(_build(inner, item, f"{place}[{number}]") for number, item in enumerate(data))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise _wrong(place, data, "an object")
        inner = get_args(kind)[1]
        return {str(key): _build(inner, item, f"{place}.{key}") for key, item in data.items()}
    if origin in (Union, types.UnionType):
        if data is None:
            return None
        inner = next(one for one in get_args(kind) if one is not type(None))
        return _build(inner, data, place)
    if kind is float and isinstance(data, int | float) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise _wrong(place, data, kind.__name__)
    return data


def _build_record(kind: type, data: Any, place: str) -> Any:
    if not isinstance(data, Mapping):
        raise _wrong(place, data, "an object")
    hints = _hints(kind)
    unknown = [key for key in data if key not in hints]
    missing = sorted(_required(kind) - data.keys())
    if unknown or missing:
        raise ClusteringError(
            f"{place} has unknown fields {unknown} and lacks {missing}",
            expected="the fields " + ", ".join(_names(kind)),
        )
    return kind(**{key: _build(hints[key], item, f"{place}.{key}") for key, item in data.items()})


def _wrong(place: str, data: Any, expected: str) -> ClusteringError:
    return ClusteringError(f"{place} is {type(data).__name__}", expected=expected)
