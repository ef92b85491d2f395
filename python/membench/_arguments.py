"""Arguments of captures, checked before anything is started."""

from __future__ import annotations

from collections.abc import Sequence

from membench.errors import UsageError

DEFAULT_PORT = 11211


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
