"""Programs, maps and links as bpftool lists them; their cost as the kernel counts it."""

from __future__ import annotations

import json
import os
import platform

import pytest

from membench import bpf
from support.bpf_programs import MAPS, RECORDS, compiled
from support.process import output

pytestmark = [pytest.mark.root]

GETPPID = 110 if platform.machine() == "x86_64" else 173
N = 500


def bpftool(what: str, *arguments: str) -> list[dict]:  # type: ignore[type-arg]  # its own JSON
    found = json.loads(output("bpftool", "-j", what, "show", *arguments))
    return found if isinstance(found, list) else [found]


def test_the_lists_are_those_of_bpftool() -> None:
    """Other tests load and unload meanwhile: what both looks agree on, and ours among it."""
    with bpf.Object.open(compiled(MAPS)) as found:
        found.load()
        link = found.programs["count"].attach()
        first = bpf.list()
        programs = {one["id"]: one for one in bpftool("prog")}
        maps = {one["id"]: one for one in bpftool("map")}
        links = {one["id"]: one for one in bpftool("link")}
        last = bpf.list()
        for before, shown, after in (
            (first.programs, programs, last.programs),
            (first.maps, maps, last.maps),
            (first.links, links, last.links),
        ):
            started, ended = {one.id for one in before}, {one.id for one in after}
            assert started & ended <= shown.keys() <= started | ended
        ours = next(one for one in last.programs if one.id == found.programs["count"].id)
        shown = programs[ours.id]
        assert (ours.kind, ours.name, ours.tag) == (shown["type"], shown["name"], shown["tag"])
        assert (ours.gpl, ours.uid) == (shown["gpl_compatible"], shown["uid"])
        assert ours.translated_bytes == shown["bytes_xlated"]
        assert ours.compiled_bytes == shown.get("bytes_jited", 0)
        assert list(ours.maps) == shown["map_ids"]
        assert ours.types == shown["btf_id"]
        for name, one in found.maps.items():
            ours_map = next(each for each in last.maps if each.id == one.id)
            shown = maps[one.id]
            assert ours_map.name == shown["name"] == name[:15]
            assert ours_map.kind == shown["type"] == one.kind
            assert ours_map.key_size == shown["bytes_key"] == one.key_size
            assert ours_map.value_size == shown["bytes_value"] == one.value_size
            assert ours_map.max_entries == shown["max_entries"] == one.max_entries
            assert ours_map.flags == shown["flags"]
        ours_link = next(one for one in last.links if one.id == link.ids[0])
        shown = links[ours_link.id]
        assert (ours_link.kind, ours_link.program) == (shown["type"], shown["prog_id"])


def test_every_program_of_the_machine_is_described_as_bpftool_does() -> None:
    with bpf.Object.open(compiled(RECORDS)) as found:
        found.load()
        found.programs["record"].attach()
        shown = {one["id"]: one for one in bpftool("prog")}
        both = [one for one in bpf.list().programs if one.id in shown]
        assert both
        for one in both:
            assert (one.kind, one.tag) == (shown[one.id]["type"], shown[one.id]["tag"])
            # bpftool looks longer names up in the program's types.
            assert one.name == shown[one.id].get("name", "")[:15]


def test_runs_and_their_time_are_those_that_bpftool_shows() -> None:
    with bpf.Object.open(compiled(RECORDS)) as found:
        found.globals["pid"] = os.getpid()
        found.globals["wanted"] = GETPPID
        found.load()
        program = found.programs["record"]
        with bpf.count_runs():
            link = program.attach()
            for _ in range(N):
                os.getppid()
            link.detach()
        (shown,) = bpftool("prog", "id", str(program.id))
        assert program.runs == shown["run_cnt"] >= N
        assert program.run_time_ns == shown["run_time_ns"] > 0
        assert program.misses == misses(program.id) == shown.get("recursion_misses", 0)
        text = repr(program)
        assert f"misses={program.misses}" in text
        assert f"run_time_ns={program.run_time_ns}" in text


def misses(number: int) -> int:
    """Read how often a program was skipped, as the kernel describes the descriptor."""
    for name in os.listdir("/proc/self/fdinfo"):  # noqa: PTH208
        try:
            with open(f"/proc/self/fdinfo/{name}") as file:  # noqa: PTH123
                fields = dict(line.split(":", 1) for line in file if ":" in line)
        except OSError:
            continue
        if "recursion_misses" in fields and int(fields["prog_id"]) == number:
            return int(fields["recursion_misses"])
    return 0
