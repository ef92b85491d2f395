"""Maps as mappings: what programs write is read through their types, as bpftool reads it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator

import pytest

from membench import bpf
from membench.errors import UsageError
from support.bpf_programs import MAPS, compiled
from support.process import output

pytestmark = [pytest.mark.root]

N = 25
GETPPID = 110 if platform.machine() == "x86_64" else 173


@pytest.fixture
def found() -> Iterator[bpf.Object]:
    with bpf.Object.open(compiled(MAPS)) as opened:
        opened.globals["pid"] = os.getpid()
        opened.globals["wanted"] = GETPPID
        opened.load()
        opened.programs["count"].attach()
        for _ in range(N):
            os.getppid()
        yield opened


def dump(number: int) -> list[dict]:  # type: ignore[type-arg]  # bpftool's own JSON
    found = json.loads(output("bpftool", "-j", "map", "dump", "id", str(number)))
    assert isinstance(found, list)
    return found


def test_structures_are_dicts_as_bpftool_shows_them(found: bpf.Object) -> None:
    table = found.maps["table"]
    key = {"tgid": os.getpid(), "call": GETPPID}
    value = table[key]
    assert value["total"] == N
    assert (value["least"], value["color"], value["few"], value["rest"]) == (-7, 3, 5, -2)
    (element,) = dump(table.id)
    assert element["formatted"]["key"] == key
    shown = element["formatted"]["value"]
    for name in ("total", "least"):
        assert shown[name] == value[name], name
    assert list(table) == [key]
    assert table.snapshot() == {next(iter(table)): value}


def test_what_is_written_is_read_back_and_bpftool_reads_it_too(found: bpf.Object) -> None:
    table = found.maps["table"]
    key = {"tgid": 1, "call": 2}
    value = {
        "total": 2**64 - 1,
        "least": -(2**31),
        "octets": b"\x01\x02\xfe\xff",
        "inner": {"low": -5, "letters": "abc"},
        "color": "GREEN",
        "few": 7,
        "rest": -(2**28),
        "halves": [1, 0xABCD],
    }
    table[key] = value
    read = table[key]
    assert read.pop("word") == 0xABCD0001
    assert read == value | {"color": 2}
    (shown,) = [
        one["formatted"]["value"] for one in dump(table.id) if one["formatted"]["key"] == key
    ]
    assert shown["total"] == value["total"]
    assert shown["octets"] == [1, 2, 0xFE, 0xFF]
    assert shown["inner"]["low"] == -5
    assert shown["color"] in (2, "GREEN")
    del table[key]
    with pytest.raises(KeyError):
        table[key]
    with pytest.raises(KeyError):
        del table[key]
    assert key not in table
    assert table.get(key) is None


def test_a_per_cpu_value_is_a_list_whose_sum_is_the_count(found: bpf.Object) -> None:
    per_cpu = found.maps["per_cpu"]
    values = per_cpu[0]
    assert len(values) >= (os.cpu_count() or 1)
    assert sum(values) == N
    per_cpu[1] = list(range(len(values)))
    assert per_cpu[1] == list(range(len(values)))
    with pytest.raises(UsageError, match="a list of one value a CPU"):
        per_cpu[1] = 5
    with pytest.raises(UsageError):
        per_cpu[1] = [1]


def test_an_array_is_read_from_memory_as_by_system_calls(found: bpf.Object) -> None:
    slots = found.maps["slots"]
    with slots.memory() as memory:
        assert len(memory) == len(slots) == 16
        assert memory[0] == slots[0] == {"tgid": os.getpid(), "call": N}
        os.getppid()
        assert memory[0]["call"] == N + 1
        slots[15] = {"tgid": 1, "call": 2}
        assert memory[-1] == {"tgid": 1, "call": 2}
        assert memory[14:] == [{"tgid": 0, "call": 0}, {"tgid": 1, "call": 2}]
        with pytest.raises(IndexError):
            memory[16]
    with pytest.raises(bpf.InvalidHandle):
        memory[0]
    with pytest.raises(bpf.Unsupported, match="BPF_F_MMAPABLE"):
        found.maps["table"].memory()


def test_the_least_recently_used_elements_make_room(found: bpf.Object) -> None:
    recent = found.maps["recent"]
    for key in range(1000):
        recent[key] = -key
    assert 0 < len(recent) <= 64
    assert all(value == -key for key, value in recent.snapshot().items())


def test_a_route_is_found_by_its_longest_prefix(found: bpf.Object) -> None:
    routes = found.maps["routes"]
    routes["10.0.0.0/8"] = 1
    routes["10.1.0.0/16"] = 2
    assert routes["10.9.9.9/32"] == 1
    assert routes["10.1.2.3/32"] == 2
    assert {"prefixlen": 16, "address": bytes([10, 1, 0, 0])} in list(routes)
    with pytest.raises(KeyError):
        routes["11.0.0.0/8"]
    with pytest.raises(UsageError, match="host bits"):
        routes["10.0.0.1/8"] = 1
    with pytest.raises(UsageError, match="version 6"):
        routes["::/8"] = 1


def test_a_stack_is_a_list_of_the_kernels_addresses(found: bpf.Object) -> None:
    addresses = found.maps["stacks"][found.globals["stack"]]
    assert addresses
    assert all(address >> 47 for address in addresses), "addresses of the kernel"


def test_values_of_another_type_are_refused_before_any_call(found: bpf.Object) -> None:
    table = found.maps["table"]
    key = {"tgid": 1, "call": 2}
    for wrong, match in (
        ({"tgid": -1, "call": 2}, "unsigned integer of 4 bytes"),
        ({"tgid": 2**32, "call": 2}, "unsigned integer of 4 bytes"),
        ({"pid": 1}, "no member pid"),
        (5, "a dict is wanted"),
    ):
        with pytest.raises(UsageError, match=match):
            table[wrong]
    for wrong, match in (
        ({"inner": {"letters": "abcdefg"}}, "at most 6 bytes"),
        ({"color": "PINK"}, "no value PINK"),
        ({"octets": b"123"}, "4 bytes are wanted"),
        ({"few": 8}, "few has 3 bits"),
        ({"halves": [1]}, "a list of 2"),
    ):
        with pytest.raises(UsageError, match=match):
            table[key] = wrong
    assert key not in table


def test_a_map_that_is_full_says_so(found: bpf.Object) -> None:
    table = found.maps["table"]

    def fill() -> None:
        for call in range(100):
            table[{"tgid": 7, "call": call}] = {}

    with pytest.raises(bpf.KernelError) as raised:
        fill()
    assert raised.value.errno == 7  # E2BIG
    assert len(table) == table.max_entries == 64


def test_sizes_are_set_before_the_object_is_loaded() -> None:
    with bpf.Object.open(compiled(MAPS)) as found:
        found.maps["table"].max_entries = 3
        assert found.maps["table"].max_entries == 3
        found.load(only=[])
        for call in range(3):
            found.maps["table"][{"tgid": 1, "call": call}] = {}
        with pytest.raises(bpf.KernelError):
            found.maps["table"][{"tgid": 1, "call": 3}] = {}
        with pytest.raises(bpf.InvalidHandle, match="before `load"):
            found.maps["table"].max_entries = 4
