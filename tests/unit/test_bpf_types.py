"""Types of objects: values are laid out as the C compiler of this machine lays them out."""

from __future__ import annotations

import ctypes
import random
import struct
from pathlib import Path

import pytest

from membench import bpf
from membench.errors import UsageError
from support.bpf_programs import MAPS, compiled

COMMITTED = Path(__file__).parents[2] / "rust/bpf/objects/capture.bpf.o"


class Inner(ctypes.Structure):
    _fields_ = (("low", ctypes.c_int16), ("letters", ctypes.c_char * 6))


class Halves(ctypes.Union):
    _fields_ = (("word", ctypes.c_uint32), ("halves", ctypes.c_uint16 * 2))


class Value(ctypes.Structure):
    _anonymous_ = ("either",)
    _fields_ = (
        ("total", ctypes.c_uint64),
        ("least", ctypes.c_int32),
        ("octets", ctypes.c_uint8 * 4),
        ("inner", Inner),
        ("color", ctypes.c_uint32),
        ("few", ctypes.c_uint32, 3),
        ("rest", ctypes.c_int32, 29),
        ("either", Halves),
    )


@pytest.fixture(scope="module")
def types() -> bpf.Types:
    found = bpf.Object.open(compiled(MAPS)).types
    assert found is not None
    return found


def test_a_structure_is_decoded_as_the_compiler_laid_it_out(types: bpf.Types) -> None:
    made = Value(
        total=2**63 + 1,
        least=-5,
        octets=(1, 2, 3, 255),
        inner=Inner(-2, b"abc"),
        color=2,
        few=5,
        rest=-9,
    )
    made.word = 0xABCD0001
    kind = types["value"]
    assert kind.size == ctypes.sizeof(Value)
    expected = {
        "total": 2**63 + 1,
        "least": -5,
        "octets": bytes([1, 2, 3, 255]),
        "inner": {"low": -2, "letters": "abc"},
        "color": 2,
        "few": 5,
        "rest": -9,
        "word": 0xABCD0001,
        "halves": [1, 0xABCD],
    }
    assert kind.decode(bytes(made)) == expected
    assert kind.encode(expected) == bytes(made)


def test_random_bytes_are_encoded_as_they_were_decoded(types: bpf.Types) -> None:
    kind = types["key"]
    source = random.Random(1)
    for _ in range(200):
        data = source.randbytes(kind.size)
        assert kind.encode(kind.decode(data)) == data


def test_what_a_value_leaves_out_is_zero(types: bpf.Types) -> None:
    assert types["value"].encode({}) == bytes(ctypes.sizeof(Value))
    assert types["value"].encode({"few": 1}) == bytes(Value(few=1))


def test_an_object_tells_what_it_holds_before_it_is_loaded() -> None:
    found = bpf.Object.open(compiled(MAPS), name="maps.bpf.o")
    assert found.name == "maps.bpf.o"
    program = found.programs["count"]
    assert (program.kind, program.section) == ("tp_btf", "tp_btf/sys_enter")
    assert program.target == bpf.TpBtf("sys_enter")
    assert "not loaded" in repr(program)
    assert {name: one.kind for name, one in found.maps.items()} == {
        "table": "hash",
        "recent": "lru_hash",
        "slots": "array",
        "per_cpu": "percpu_array",
        "routes": "lpm_trie",
        "stacks": "stack_trace",
    }
    table = found.maps["table"]
    assert (table.key_size, table.value_size, table.max_entries) == (8, ctypes.sizeof(Value), 64)
    assert list(table.key_type.fields) == ["tgid", "call"]
    assert set(found.globals) == {"pid", "wanted", "limit", "hits", "stack"}
    assert found.globals["stack"] == -1
    found.globals["pid"] = 7
    assert found.globals["pid"] == 7
    with pytest.raises(UsageError, match="unsigned integer of 4 bytes"):
        found.globals["pid"] = -1
    with pytest.raises(bpf.NotFound, match="no global port"):
        found.globals["port"] = 1
    with pytest.raises(bpf.NotFound, match="no program none; it has count"):
        found.programs["none"]
    with pytest.raises(bpf.InvalidHandle):
        table[{"tgid": 1, "call": 1}]
    with pytest.raises(bpf.InvalidHandle):
        _ = program.id


def test_the_committed_object_is_read_without_a_compiler_and_without_a_kernel() -> None:
    found = bpf.Object.open(COMMITTED)
    assert found.programs["sock_recv_length"].target == bpf.TpBtf("sock_recv_length")
    assert found.maps["walked"].kind == "hash"
    assert len(found.globals) > 3
    assert found.types is not None
    for name in found.types:
        kind = found.types[name]
        assert kind.size >= 0
        kind.decode(bytes(kind.size))


def test_bytes_of_another_layout_are_no_types() -> None:
    with pytest.raises(UsageError, match="damaged"):
        bpf.Types(b"")
    with pytest.raises(UsageError, match="another architecture"):
        bpf.Types(b"\xeb\x9f" + bytes(22))


def entry(kind: int, *tail: int, size: int = 0, count: int = 0) -> bytes:
    return struct.pack(f"<III{len(tail)}I", 1, kind << 24 | count, size, *tail)


def types_of(*entries: bytes) -> bytes:
    body = b"".join(entries)
    names = b"\0loop\0"
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(names))
    return header + body + names


def test_types_that_contain_themselves_or_are_too_large_are_refused() -> None:
    for data, match in (
        (types_of(entry(8, size=1)), "nest without end"),
        (types_of(entry(4, 1, 1, 0, size=8, count=1)), "nest without end"),
        (types_of(entry(4, 1, 99, 0, size=8, count=1)), "no type 99"),
        (types_of(entry(3, 2, 2, 2**32 - 1), entry(1, 64, size=2**31)), "too large"),
    ):
        found = bpf.Types(data)
        with pytest.raises(UsageError, match=match):
            found._by_number(1)


def test_any_bytes_give_types_or_a_usage_error() -> None:
    original = bytearray(types_bytes())
    source = random.Random(2)
    for _ in range(300):
        data = bytearray(original)
        for _ in range(source.randrange(1, 8)):
            data[source.randrange(len(data))] = source.randrange(256)
        try:
            found = bpf.Types(bytes(data))
            for number in range(len(found._entries)):
                found._by_number(number)
            for name in found:
                found[name]
        except UsageError:
            continue


def types_bytes() -> bytes:
    from membench import _native  # noqa: PLC0415

    found = _native.BpfObject.parse("maps", compiled(MAPS)).types()
    assert found is not None
    return found
