"""Arguments of captures, checked before anything is started."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from membench._guards import Guards
from membench._options import Rotation, Selection
from membench._sample import ALL, Sample
from membench.errors import UsageError

Responses = Literal["none", "lengths", "bytes"]
Hooks = Literal["sockets", "syscalls", "tcx", "clsact"]

DEFAULT_RING_SIZE = 16 * 1024 * 1024
NO_GUARDS = Guards(max_written=None, min_free=None)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a capture, as the native module reads them; the defaults are `top`'s."""

    selection: Selection
    responses: Responses = "bytes"
    ring_size: int = DEFAULT_RING_SIZE
    hooks: Hooks | None = None
    fallback: bool = True
    output: str | None = None
    force: bool = False
    duration_s: float | None = None
    max_size: int | None = None
    rotation: Rotation | None = None
    sample: Sample = ALL
    guards: Guards = NO_GUARDS
    key_file: str | None = None
    statistics: bool = False
    drop_privileges: bool = False
    live: bool = True

    def __post_init__(self) -> None:
        if self.ring_size <= 0 or self.ring_size & (self.ring_size - 1):
            raise UsageError(
                f"a ring of {self.ring_size} bytes: must be a power of two", "for example 16M"
            )
        for one_in in (self.sample.keys, self.sample.connections):
            if not 1 <= one_in < 1 << 32:
                raise UsageError(f"a sample of 1 in {one_in}: must be 1 or more", "for example 100")


def select(selection: Selection | None, ports: Sequence[int] | None) -> Selection:
    """Check a selection; `ports` is the short form for one by ports alone."""
    chosen = Selection() if selection is None else selection
    if ports is not None:
        if chosen.ports:
            raise UsageError("ports are given twice", "`ports`, or `selection` with its own")
        if not ports:
            raise UsageError("no port to record", "memcached's own is 11211")
        chosen = replace(chosen, ports=ports)
    wrong = [port for port in chosen.ports if not 0 < port < 1 << 16]
    if wrong:
        raise UsageError(f"{wrong[0]} is not a port", "ports are from 1 to 65535")
    return replace(
        chosen,
        ports=sorted(set(chosen.ports)),
        sockets=[os.fspath(path) for path in chosen.sockets],
        pids=sorted(set(chosen.pids)),
        cgroups=[os.fspath(path) for path in chosen.cgroups],
        network_namespaces=[str(name) for name in chosen.network_namespaces],
    )


def path_of(path: str | os.PathLike[str] | None) -> str | None:
    """Return a path as text, if there is one."""
    return None if path is None else os.fspath(path)
