"""The native module's descriptions of programs, maps and links."""

from __future__ import annotations

from typing import TypedDict


class ProgramFacts(TypedDict):
    """Facts that the kernel tells of a program."""

    id: int
    kind: str
    name: str
    tag: str
    gpl: bool
    uid: int
    loaded_at_ns: int
    translated_bytes: int
    compiled_bytes: int
    maps: tuple[int, ...]
    types: int
    run_time_ns: int
    runs: int
    misses: int
    verified_instructions: int


class MapFacts(TypedDict):
    """Facts that the kernel tells of a map."""

    id: int
    kind: str
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    types: int
    key_type: int
    value_type: int


class LinkFacts(TypedDict):
    """Facts that the kernel tells of a link."""

    id: int
    kind: str
    program: int
