"""Everything that the kernel holds: programs, maps and links of all processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from membench import _native


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """A program in the kernel.

    Attributes:
        id: Its number.
        kind: The kernel's name of its type, such as `tracing`.
        name: The first 15 bytes of its name.
        tag: The hash of its instructions, hexadecimal.
        gpl: True if it may call functions that are reserved for GPL programs.
        uid: The user that loaded it.
        loaded_at_ns: Time at which it was loaded, since boot.
        translated_bytes: Size of the verified instructions.
        compiled_bytes: Size of the machine code; 0 if it is interpreted.
        maps: Numbers of its maps.
        types: Number of its types; 0 if it has none.
        run_time_ns: Time that counted runs took.
        runs: Number of counted runs: see `count_runs`.
        misses: Runs that were skipped because it was running on that CPU already.
        verified_instructions: Instructions that the verifier processed; 0 before Linux 5.16.
    """

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


@dataclass(frozen=True, slots=True)
class LoadedMap:
    """A map in the kernel.

    Attributes:
        id: Its number.
        kind: The kernel's name of its type, such as `hash`.
        name: The first 15 bytes of its name.
        key_size: Size of a key, bytes.
        value_size: Size of a value, bytes.
        max_entries: Most elements; of a ring its size, bytes.
        flags: The kernel's `BPF_F_…` flags.
        types: Number of its types; 0 if it has none.
        key_type: The key's type in those.
        value_type: The value's type in those.
    """

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


@dataclass(frozen=True, slots=True)
class LoadedLink:
    """A link in the kernel.

    Attributes:
        id: Its number.
        kind: The kernel's name of its type, such as `tcx`.
        program: Number of its program.
    """

    id: int
    kind: str
    program: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that the kernel holds, of all processes.

    Attributes:
        programs: The programs.
        maps: The maps.
        links: The links. Attachments without a link, such as filters of `clsact`, are not among
            them.
    """

    programs: tuple[LoadedProgram, ...]
    maps: tuple[LoadedMap, ...]
    links: tuple[LoadedLink, ...]


def loaded_program(facts: dict[str, Any]) -> LoadedProgram:
    """Describe a program by what the native module tells of it."""
    return LoadedProgram(**facts | {"maps": tuple(facts["maps"])})


def list() -> Listing:  # noqa: A001 - `bpf.list`
    """List the programs, maps and links of this machine, which takes CAP_SYS_ADMIN.

    Raises:
        PermissionError: This process lacks it.
    """
    return Listing(
        programs=tuple(loaded_program(one) for one in _native.bpf_programs()),
        maps=tuple(LoadedMap(**one) for one in _native.bpf_maps()),
        links=tuple(LoadedLink(**one) for one in _native.bpf_links()),
    )


@contextmanager
def count_runs() -> Iterator[None]:
    """Have the kernel count runs and run times of every program meanwhile (Linux 5.8).

    Each run then costs about 20 ns more. It takes CAP_SYS_ADMIN.

    Raises:
        PermissionError: This process lacks it.
    """
    statistics = _native.BpfStatistics()
    try:
        yield
    finally:
        statistics.close()
