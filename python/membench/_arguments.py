"""Arguments of captures, checked before anything is started."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from membench.errors import UsageError
from membench.sources import Source

DEFAULT_PORT = 11211

Side = Literal["server", "client"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose connections a capture follows, as the native module reads it."""

    side: Side
    ports: list[int]
    sockets: list[str]
    pids: list[int]
    cgroups: list[str]
    network_namespaces: list[str]


def select(
    source: Source,
    *,
    side: Side,
    ports: Sequence[int] | None,
    sockets: Sequence[str | os.PathLike[str]],
    pids: Sequence[int],
    cgroups: Sequence[str | os.PathLike[str]],
    network_namespaces: Sequence[str | int],
) -> Selection:
    """Check what narrows a capture; memcached's own port where nothing names another."""
    if source.is_log:
        refuse_for_logs(
            side=side != "server",
            ports=ports,
            sockets=sockets,
            pids=pids,
            cgroups=cgroups,
            network_namespaces=network_namespaces,
        )
    named_otherwise = bool(sockets or (pids and side == "server"))
    return Selection(
        side=side,
        ports=choose_ports(ports, named_otherwise=named_otherwise),
        sockets=[os.fspath(path) for path in sockets],
        pids=sorted(set(pids)),
        cgroups=[os.fspath(path) for path in cgroups],
        network_namespaces=[str(name) for name in network_namespaces],
    )


def refuse_for_logs(**options: object) -> None:
    """Refuse what only kernel sources can do: a log is one server's, and taken whole."""
    for name, given in options.items():
        if given:
            option = name.replace("_", "-").removesuffix("-size").removesuffix("-every")
            raise UsageError(
                f"`{option}` is not for memcached's own log", "it is one server's, and taken whole"
            )


def choose_ports(ports: Sequence[int] | None, *, named_otherwise: bool) -> list[int]:
    """Sort the ports asked for; without any there is memcached's own, unless something else is."""
    if ports is None:
        return [] if named_otherwise else [DEFAULT_PORT]
    if not ports:
        raise UsageError("no port to record", "memcached's own is 11211")
    wrong = [port for port in ports if not 0 < port < 1 << 16]
    if wrong:
        raise UsageError(f"{wrong[0]} is not a port", "ports are from 1 to 65535")
    return sorted(set(ports))


def check_sample(one_in: int) -> None:
    """Refuse what is no sample."""
    if not 1 <= one_in < 1 << 32:
        raise UsageError(f"a sample of 1 in {one_in}: must be 1 or more", "for example 100")


def check_ring_size(ring_size: int) -> None:
    """Refuse what cannot be the size of a ring."""
    if ring_size <= 0 or ring_size & (ring_size - 1):
        raise UsageError(f"a ring of {ring_size} bytes: must be a power of two", "for example 16M")
