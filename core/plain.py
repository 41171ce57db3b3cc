"""Typed values as plain ones that MessagePack can hold, and back: one codec for all, made from the annotations.

A dataclass or named tuple is a map from field names to values, so that versions which add a field with a default read
what older ones wrote. A member of a union of those is `[type, map]`. Enums go by value, integers beyond 64 bits as
bytes. Messages and deltas are left to `core.wire`, which has limits of its own. A field whose metadata holds `SECRET`
is never written, and reads as its default.

Reading is strict: what it returns has the annotated types all the way down, or it raises `PlainError`. Not for what
peers send: sizes are up to the caller.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, NewType, TypeVar

from core import wire
from core.errors import PeerFault
from core.messages import Message
from crdt.fact import Delta

SECRET = "secret"
"""Key of a field's metadata: `field(default="", metadata={SECRET: True})`."""
INTEGER_SIZE_MAX = 64
"""Bytes; addresses, the largest integers there are, take 17."""
NATIVE_MIN, NATIVE_MAX = -(1 << 63), (1 << 64) - 1
"""What MessagePack holds as an integer."""


class PlainError(Exception):
    """A value is not what its place demands; the text names the place from the outside in, then the rule."""

    def __init__(self, rule: str, place: str = "") -> None:
        super().__init__(f"{place}: {rule}" if place else rule)
        self._rule = rule
        self._place = place

    def within(self, name: str) -> PlainError:
        """Return the same, one level further out."""
        return PlainError(self._rule, f"{name}.{self._place}" if self._place else name)


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one type are written and read."""

    plain: Callable[[Any], object]  # a value of the type, which annotations cannot say for unions
    """Returns what stands for a value."""
    typed: Callable[[Any], Any]  # takes anything at all, returns a value of the type
    """Returns the value. Raises: PlainError, and nothing else."""


@cache
def codec_of(kind: Any) -> Codec:  # a type, or what typing makes of an annotation
    """Return the codec of a type. Raises: TypeError for types that have no plain form; found when codecs are made."""
    if kind in _GIVEN:
        return _GIVEN[kind]
    if isinstance(kind, NewType):
        return codec_of(kind.__supertype__)
    origin = typing.get_origin(kind)
    if origin is tuple:
        return _tuple(typing.get_args(kind))
    if origin is typing.Union or origin is types.UnionType:
        return _union(typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind)
    if _has_names(kind):
        return _named(kind)
    raise TypeError(f"{kind} has no plain form")


def _tuple(kinds: tuple[Any, ...]) -> Codec:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        item = codec_of(kinds[0])

        def read_all(value: object) -> tuple[object, ...]:
            return tuple(_at(str(index), item, part) for index, part in enumerate(_of(list, value, "no list")))

        return Codec(lambda value: [item.plain(part) for part in value], read_all)
    items = tuple(codec_of(kind) for kind in kinds)

    def read(value: object) -> tuple[object, ...]:
        parts = _of(list, value, "no list")
        if len(parts) != len(items):
            raise PlainError(f"a list of {len(parts)}, not of {len(items)}")
        return tuple(_at(str(index), *pair) for index, pair in enumerate(zip(items, parts, strict=True)))

    return Codec(lambda value: [item.plain(part) for item, part in zip(items, value, strict=True)], read)


def _union(kinds: tuple[Any, ...]) -> Codec:
    present = tuple(kind for kind in kinds if kind is not types.NoneType)
    inner = codec_of(present[0]) if len(present) == 1 else _tagged(present)
    if len(present) == len(kinds):
        return inner
    return Codec(
        lambda value: None if value is None else inner.plain(value),
        lambda value: None if value is None else inner.typed(value),
    )


def _tagged(kinds: tuple[Any, ...]) -> Codec:
    if not all(map(_has_names, kinds)):
        raise TypeError(f"a union of {kinds} has no plain form: only types with named fields can be told apart")
    codecs = {kind.__name__: codec_of(kind) for kind in kinds}
    assert len(codecs) == len(kinds), "two types of one name in a union"

    def plain(value: object) -> object:
        name = type(value).__name__
        return [name, codecs[name].plain(value)]

    def typed(value: object) -> object:
        parts = _of(list, value, "no pair of type and value")
        if len(parts) != 2:
            raise PlainError(f"a list of {len(parts)}, not a pair of type and value")
        name = _of(str, parts[0], "of a type without name")
        if name not in codecs:
            raise PlainError(f"of the unknown type {name[:64]!r}")
        return _at(name, codecs[name], parts[1])

    return Codec(plain, typed)


def _enum(kind: type[Enum]) -> Codec:
    members = {member.value: member for member in kind}

    def typed(value: object) -> Enum:
        if not isinstance(value, str | int) or value not in members:
            raise PlainError(f"no {kind.__name__}")
        return members[value]

    return Codec(lambda value: value.value, typed)


def _named(kind: type) -> Codec:
    """Return the codec of a dataclass or named tuple."""
    hints = typing.get_type_hints(kind)
    names, secrets, optional = _fields_of(kind)
    written = {name: codec_of(hints[name]) for name in names if name not in secrets}
    for name in secrets:
        if name not in optional:
            raise TypeError(f"{kind.__name__}.{name} is secret and has no default")

    def typed(value: object) -> object:
        found = _of(dict, value, "no map")
        for name in found:
            if name not in written:
                raise PlainError(f"has the unknown field {str(name)[:64]!r}")
        arguments: dict[str, object] = {}
        for name, codec in written.items():
            if name in found:
                arguments[name] = _at(name, codec, found[name])
            elif name not in optional:
                raise PlainError(f"lacks the field {name!r}")
        try:
            return kind(**arguments)
        except ValueError as error:
            raise PlainError(str(error)) from None

    return Codec(lambda value: {name: codec.plain(getattr(value, name)) for name, codec in written.items()}, typed)


def _has_names(kind: object) -> bool:
    return isinstance(kind, type) and (is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields")))


def _fields_of(kind: type) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the names of all fields, of the secret ones, and of those with a default."""
    if not is_dataclass(kind):
        names: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]  # a named tuple has them
        return names, (), tuple(kind._field_defaults)  # type: ignore[attr-defined]  # as above
    found = fields(kind)
    return (
        tuple(field.name for field in found),
        tuple(field.name for field in found if field.metadata.get(SECRET)),
        tuple(field.name for field in found if not (field.default is MISSING and field.default_factory is MISSING)),
    )


def _at(name: str, codec: Codec, value: object) -> Any:  # whatever the codec makes of it
    try:
        return codec.typed(value)
    except PlainError as error:
        raise error.within(name) from None


Kind = TypeVar("Kind")


def _of(kind: type[Kind], value: object, rule: str) -> Kind:
    """Return the value if it is exactly of a type: a truth value is no integer here."""
    if type(value) is not kind:
        raise PlainError(rule)
    return value


def _scalar(kind: type) -> Codec:
    rule = f"no {kind.__name__}"
    return Codec(lambda value: value, lambda value: _of(kind, value, rule))


def _plain_integer(value: int) -> object:
    if NATIVE_MIN <= value <= NATIVE_MAX:
        return value
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _typed_integer(value: object) -> int:
    if type(value) is bytes and len(value) <= INTEGER_SIZE_MAX:
        return int.from_bytes(value, "big", signed=True)
    return _of(int, value, "no int")


def _wired(read: Callable[[bytes], Any]) -> Callable[[object], Any]:  # what `core.wire` returns
    def typed(value: object) -> object:
        try:
            return read(_of(bytes, value, "no bytes"))
        except PeerFault as fault:
            raise PlainError(str(fault)) from None

    return typed


_GIVEN: dict[Any, Codec] = {  # types, and unions, which are none
    bool: _scalar(bool),
    str: _scalar(str),
    bytes: _scalar(bytes),
    int: Codec(_plain_integer, _typed_integer),
    Message: Codec(wire.encode, _wired(wire.decode)),
    Delta: Codec(wire.encode_delta, _wired(wire.decode_delta)),
}
