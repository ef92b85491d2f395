"""Types of an object → bytes as Python values, and back."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from membench.bpf._btf import Entry, Kind, Member, read
from membench.bpf._errors import NotFound
from membench.errors import UsageError

_ALIASES = (Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.VAR, Kind.TYPE_TAG)
# Kinds with a name that a program can store a value of.
_STORED = (
    Kind.INT,
    Kind.STRUCT,
    Kind.UNION,
    Kind.ENUM,
    Kind.TYPEDEF,
    Kind.FLOAT,
    Kind.ENUM64,
)
_SIGNED, _BOOL = 1, 4
_DEEPEST = 32
_FLOATS = {4: "<f", 8: "<d"}
_BYTE = 8
# More would be no value of a map: the kernel has no larger ones.
_LARGEST = 1 << 32


class Record(dict[str, Any]):
    """A structure that is a key: a dict that can be hashed, and must not be changed."""

    def __hash__(self) -> int:  # type: ignore[override]  # dict has none
        return hash(tuple(self.items()))


def freeze(value: object) -> Any:  # noqa: ANN401 - whatever the key is
    """Return a value in a form that can be a key of a dict."""
    if isinstance(value, dict):
        return Record({name: freeze(part) for name, part in value.items()})
    return tuple(freeze(part) for part in value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Type:
    """A type of an object.

    Attributes:
        name: The type's name in its source; empty if it has none.
        size: Size of a value, bytes.
        fields: Name → type of each member of a structure or union; empty for other types.
        decode: Turns bytes into an int, float, bool, str, bytes, list or dict.
        encode: Turns such a value into bytes.
    """

    name: str
    size: int
    decode: Callable[[bytes], Any] = field(repr=False, compare=False)
    encode: Callable[[Any], bytes] = field(repr=False, compare=False)
    fields: Mapping[str, Type] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class _Place:
    """A member of a structure, by its place in the bytes of the whole."""

    name: str
    offset: int
    type: Type
    # Of a bit field: where it begins in the integer at `offset`, its width, and if it has a sign.
    shift: int = 0
    bits: int = 0
    signed: bool = False


class Types:
    """The types of an object, by name: what its maps, globals and records are made of."""

    def __init__(self, data: bytes) -> None:
        """Read types in the kernel's format (BTF)."""
        self._entries = read(data)
        self._known: dict[int, Type] = {}
        self._names = {
            entry.name: number
            for number, entry in reversed(list(enumerate(self._entries)))
            if entry.kind in _STORED and entry.name
        }

    def __getitem__(self, name: str) -> Type:
        if name not in self._names:
            raise NotFound(f"the object has no type {name}")
        return self._by_number(self._names[name])

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def _variables(self) -> dict[str, Type]:
        """Return the type of each global, by the global's name."""
        found = enumerate(self._entries)
        return {one.name: self._by_number(number) for number, one in found if one.kind is Kind.VAR}

    def _map_types(self, name: str) -> tuple[Type | None, Type | None]:
        """Return the types of a map's keys and values; None for one that the map does not tell."""
        for number, entry in enumerate(self._entries):
            if entry.kind is Kind.VAR and entry.name == name:
                definition = self._entry(self._resolve(number))
                told = {member.name: member.type for member in definition.members}
                return self._pointed(told.get("key")), self._pointed(told.get("value"))
        return None, None

    def _by_number(self, number: int, depth: int = 0) -> Type:
        """Return the type of a number, by which the kernel tells a map's types."""
        if depth > _DEEPEST:
            raise UsageError("the types of the object are damaged: they nest without end")
        if number not in self._known:
            self._known[number] = self._build(number, depth)
        return self._known[number]

    def _entry(self, number: int) -> Entry:
        if not 0 <= number < len(self._entries):
            raise UsageError(f"the types of the object are damaged: there is no type {number}")
        return self._entries[number]

    def _resolve(self, number: int) -> int:
        for _ in range(_DEEPEST):
            entry = self._entry(number)
            if entry.kind not in _ALIASES:
                return number
            number = entry.size
        raise UsageError("the types of the object are damaged: they nest without end")

    def _pointed(self, pointer: int | None) -> Type | None:
        if pointer is None:
            return None
        entry = self._entry(self._resolve(pointer))
        return self._by_number(entry.size) if entry.kind is Kind.PTR else None

    def _build(self, number: int, depth: int) -> Type:
        entry = self._entry(self._resolve(number))
        own = self._entry(number)
        name = entry.name if own.kind is not Kind.TYPEDEF else own.name
        if entry.kind is Kind.INT:
            return _boolean(name, entry.size) if entry.encoding & _BOOL else _integer(name, entry)
        if entry.kind in (Kind.ENUM, Kind.ENUM64):
            return _enumeration(name, entry)
        if entry.kind is Kind.PTR:
            return whole_type(name, 8, signed=False)
        if entry.kind is Kind.FLOAT:
            known = _FLOATS.get(entry.size)
            return raw_type(entry.size) if known is None else _floating(name, known)
        return self._compound(name, entry, depth)

    def _compound(self, name: str, entry: Entry, depth: int) -> Type:
        if entry.kind is Kind.ARRAY:
            return self._array(name, entry, depth)
        if entry.kind in (Kind.STRUCT, Kind.UNION):
            return _structure(name, entry, tuple(self._places(entry, 0, depth)))
        return raw_type(0)

    def _array(self, name: str, entry: Entry, depth: int) -> Type:
        element = self._by_number(entry.element, depth + 1)
        inner = self._entry(self._resolve(entry.element))
        if element.size * entry.count > _LARGEST:
            raise UsageError("the types of the object are damaged: an array is too large")
        if inner.kind is Kind.INT and inner.size == 1 and not inner.encoding & _BOOL:
            return _text(entry.count) if inner.name == "char" else raw_type(entry.count)
        return _sequence(name, element, entry.count)

    def _places(self, entry: Entry, base: int, depth: int) -> Iterator[_Place]:
        for member in entry.members:
            inner = self._by_number(member.type, depth + 1)
            resolved = self._entry(self._resolve(member.type))
            if member.bits:
                yield _bit_field(member, base, inner, _is_signed(resolved))
            elif not member.name and resolved.kind in (Kind.STRUCT, Kind.UNION):
                yield from self._places(resolved, base + member.bit // _BYTE, depth + 1)
            elif member.name:
                yield _Place(member.name, base + member.bit // _BYTE, inner)


def raw_type(size: int) -> Type:
    """Return the type of bytes that nothing describes."""

    def encode(value: object) -> bytes:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise UsageError(f"{size} bytes are wanted, got: {value!r}")
        if len(value) != size:
            raise UsageError(f"{size} bytes are wanted, got: {len(value)}")
        return bytes(value)

    return Type("", size, bytes, encode)


def _is_signed(entry: Entry) -> bool:
    return entry.flag if entry.kind is not Kind.INT else bool(entry.encoding & _SIGNED)


def _integer(name: str, entry: Entry) -> Type:
    return whole_type(name, entry.size, signed=bool(entry.encoding & _SIGNED))


def whole_type(name: str, size: int, *, signed: bool) -> Type:
    """Return the type of an integer."""

    def decode(data: bytes) -> int:
        return int.from_bytes(data, "little", signed=signed)

    def encode(value: object) -> bytes:
        if not isinstance(value, int):
            raise UsageError(f"an integer is wanted for {name or 'a pointer'}, got: {value!r}")
        try:
            return int(value).to_bytes(size, "little", signed=signed)
        except OverflowError:
            wanted = f"{'a signed' if signed else 'an unsigned'} integer of {size} bytes"
            raise UsageError(f"{wanted} is wanted, got: {value}") from None

    return Type(name, size, decode, encode)


def _boolean(name: str, size: int) -> Type:
    whole = whole_type(name, size, signed=False)
    return Type(name, size, lambda data: bool(whole.decode(data)), whole.encode)


def _enumeration(name: str, entry: Entry) -> Type:
    whole = whole_type(name, entry.size, signed=entry.flag)
    values = dict(entry.values)

    def encode(value: object) -> bytes:
        if isinstance(value, str):
            if value not in values:
                raise UsageError(f"{name} has no value {value}; it has {', '.join(values)}")
            value = values[value]
        return whole.encode(value)

    return Type(name, entry.size, whole.decode, encode)


def _floating(name: str, layout: str) -> Type:
    packed = struct.Struct(layout)

    def encode(value: object) -> bytes:
        if not isinstance(value, (int, float)):
            raise UsageError(f"a number is wanted for {name}, got: {value!r}")
        return packed.pack(value)

    return Type(name, packed.size, lambda data: packed.unpack(data)[0], encode)


def _text(size: int) -> Type:
    def decode(data: bytes) -> str:
        return data.split(b"\0", 1)[0].decode(errors="surrogateescape")

    def encode(value: object) -> bytes:
        if isinstance(value, str):
            value = value.encode(errors="surrogateescape")
        if not isinstance(value, bytes) or len(value) > size:
            raise UsageError(f"a text of at most {size} bytes is wanted, got: {value!r}")
        return value.ljust(size, b"\0")

    return Type("char", size, decode, encode)


def _sequence(name: str, element: Type, count: int) -> Type:
    width = element.size

    def decode(data: bytes) -> list[Any]:
        return [element.decode(data[at : at + width]) for at in range(0, width * count, width)]

    def encode(value: object) -> bytes:
        if not isinstance(value, (list, tuple)) or len(value) != count:
            raise UsageError(f"a list of {count} values is wanted, got: {value!r}")
        return b"".join(map(element.encode, value))

    if not width:
        return raw_type(0)
    return Type(name, width * count, decode, encode)


def _bit_field(member: Member, base: int, inner: Type, signed: bool) -> _Place:
    offset, shift = divmod(member.bit, _BYTE)
    width = (shift + member.bits + _BYTE - 1) // _BYTE
    whole = whole_type(inner.name, width, signed=False)
    return _Place(member.name, base + offset, whole, shift, member.bits, signed)


def _structure(name: str, entry: Entry, places: tuple[_Place, ...]) -> Type:
    size, is_union = entry.size, entry.kind is Kind.UNION

    def decode(data: bytes) -> dict[str, Any]:
        return {place.name: _take(place, data) for place in places}

    def encode(value: object) -> bytes:
        if not isinstance(value, Mapping):
            raise UsageError(f"a dict is wanted for {name or 'a structure'}, got: {value!r}")
        known = {place.name for place in places}
        if strange := [one for one in value if one not in known]:
            raise UsageError(f"{name} has no member {strange[0]}; it has {', '.join(known)}")
        if is_union and len(value) != 1:
            raise UsageError(f"one member of the union {name} is wanted, got: {value!r}")
        data = bytearray(size)
        for place in places:
            if place.name in value:
                _put(place, data, value[place.name])
        return bytes(data)

    fields = {place.name: place.type for place in places}
    return Type(name, size, decode, encode, fields)


def _take(place: _Place, data: bytes) -> Any:  # noqa: ANN401 - the member's value
    value = place.type.decode(data[place.offset : place.offset + place.type.size])
    if not place.bits:
        return value
    value = value >> place.shift & (1 << place.bits) - 1
    return value - (1 << place.bits) if place.signed and value >> place.bits - 1 else value


def _put(place: _Place, data: bytearray, value: object) -> None:
    part = slice(place.offset, place.offset + place.type.size)
    if not place.bits:
        data[part] = place.type.encode(value)
        return
    if not isinstance(value, int) or value.bit_length() > place.bits:
        raise UsageError(f"{place.name} has {place.bits} bits, got: {value!r}")
    mask = (1 << place.bits) - 1
    whole = int.from_bytes(data[part], "little") & ~(mask << place.shift)
    whole |= (value & mask) << place.shift
    data[part] = whole.to_bytes(place.type.size, "little")
