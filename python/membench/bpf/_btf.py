"""Bytes in the kernel's format of types (BTF) → numbered entries."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from membench.errors import UsageError

# https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/btf.h
_MAGIC = 0xEB9F


class Kind(IntEnum):
    """A kind of type, by the kernel's number."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


# Bytes of what follows the header of a type: for each element, and once.
_EACH = {
    Kind.STRUCT: 12,
    Kind.UNION: 12,
    Kind.ENUM: 8,
    Kind.FUNC_PROTO: 8,
    Kind.DATASEC: 12,
    Kind.ENUM64: 12,
}
_ONCE = {Kind.INT: 4, Kind.ARRAY: 12, Kind.VAR: 4, Kind.DECL_TAG: 4}


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a structure or union.

    Attributes:
        name: Its name; empty for an inner structure whose members count as the outer's.
        type: The number of its type.
        bit: The bit at which it begins.
        bits: Its width if it is a bit field, else 0.
    """

    name: str
    type: int
    bit: int
    bits: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A type as it stands in the file.

    Attributes:
        kind: Its kind.
        name: Its name; empty if it has none.
        size: Its size in bytes, or for some kinds the number of the type that it refers to.
        flag: True for enumerations with a sign, and for structures whose members can be bit fields.
        encoding: The properties of an integer.
        element: The number of the type of an array's elements.
        count: The number of an array's elements.
        members: Members of a structure or union.
        values: Names of an enumeration → their values.
    """

    kind: Kind
    name: str
    size: int
    flag: bool
    encoding: int = 0
    element: int = 0
    count: int = 0
    members: tuple[Member, ...] = ()
    values: tuple[tuple[str, int], ...] = ()


def read(data: bytes) -> list[Entry]:
    """Read the types; their number is their place in the list."""
    try:
        magic, _, _, header, types, types_size, names, names_size = struct.unpack_from(
            "<HBBIIIII", data
        )
        if magic != _MAGIC:
            raise UsageError("the types of the object have the bytes of another architecture")
        strings = data[header + names : header + names + names_size]
        body = data[header + types : header + types + types_size]
        return [Entry(Kind.VOID, "", 0, flag=False), *_entries(body, strings)]
    except (struct.error, ValueError) as error:
        raise UsageError(f"the types of the object are damaged: {error}") from error


def _entries(body: bytes, strings: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(body):
        name, info, size = struct.unpack_from("<III", body, at)
        kind, count, flag = Kind(info >> 24 & 0x1F), info & 0xFFFF, bool(info >> 31)
        at += 12
        length = _ONCE.get(kind, 0) + _EACH.get(kind, 0) * count
        yield _entry(kind, _text(strings, name), size, flag, body[at : at + length], strings)
        at += length


def _entry(kind: Kind, name: str, size: int, flag: bool, tail: bytes, strings: bytes) -> Entry:
    if kind is Kind.INT:
        (encoding,) = struct.unpack("<I", tail)
        return Entry(kind, name, size, flag, encoding=encoding >> 24 & 0xF)
    if kind is Kind.ARRAY:
        element, _, count = struct.unpack("<III", tail)
        return Entry(kind, name, size, flag, element=element, count=count)
    if kind in (Kind.STRUCT, Kind.UNION):
        return Entry(kind, name, size, flag, members=tuple(_members(tail, strings, flag)))
    if kind in (Kind.ENUM, Kind.ENUM64):
        return Entry(kind, name, size, flag, values=tuple(_values(kind, tail, strings, flag)))
    return Entry(kind, name, size, flag)


def _members(tail: bytes, strings: bytes, flag: bool) -> Iterator[Member]:
    for name, kind, place in struct.iter_unpack("<III", tail):
        bits, bit = (place >> 24, place & 0xFFFFFF) if flag else (0, place)
        yield Member(_text(strings, name), kind, bit, bits)


def _values(kind: Kind, tail: bytes, strings: bytes, signed: bool) -> Iterator[tuple[str, int]]:
    if kind is Kind.ENUM:
        for name, value in struct.iter_unpack("<Ii" if signed else "<II", tail):
            yield _text(strings, name), value
        return
    for name, low, high in struct.iter_unpack("<III", tail):
        value = high << 32 | low
        yield _text(strings, name), value - (1 << 64) if signed and value >> 63 else value


def _text(strings: bytes, offset: int) -> str:
    end = strings.find(b"\0", offset)
    return strings[offset : end if end >= 0 else None].decode(errors="replace")
