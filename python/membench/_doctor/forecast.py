"""A server's own rates → what recording it would cost, before anything is attached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from membench._doctor.host import Target


@dataclass(frozen=True, slots=True)
class Constants:
    """What recording costs an operation, and where that is from.

    Attributes:
        recorder_ns: Recorder's CPU, ring to disk.
        server_ns: The server's CPU.
        bytes: On disk.
        measured: Where and how it was measured.
    """

    recorder_ns: float
    server_ns: float
    bytes: float
    measured: str


# docs/performance.md, `--responses bytes`: between 32 requests in a write and one at a time.
PUBLISHED = (
    Constants(700, 903, 7.3, "docs/performance.md, 32 requests in a write"),
    Constants(959, 1718, 13.0, "docs/performance.md, one request at a time"),
)


# The rate that is forecast for a server with nothing to do, a second.
IDLE_RATE = 100_000.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What recording one server would cost, from the least to the most.

    Attributes:
        port: The server's.
        operations_per_s: Its rate.
        recorder_cpus: CPUs the recorder needs here.
        server_cpus: CPUs more that the server needs.
        server_share: The same as a share of the CPU time it takes now.
        bytes_per_s: To disk.
        measured: Where the constants are from.
        idle: Whether the server has nothing to do: then it is a forecast for `IDLE_RATE`.
    """

    port: int
    operations_per_s: float
    recorder_cpus: tuple[float, float]
    server_cpus: tuple[float, float]
    server_share: tuple[float, float] | None
    bytes_per_s: tuple[float, float]
    measured: str
    idle: bool = False


def forecast(target: Target, constants: tuple[Constants, ...] = PUBLISHED) -> Forecast | None:
    """Forecast recording of a server; None for one that does not tell its rate."""
    if target.operations_per_s is None:
        return None
    idle = target.operations_per_s < 1
    rate = IDLE_RATE if idle else target.operations_per_s
    server = _range(rate * one.server_ns / 1e9 for one in constants)
    busy = None if idle else target.cpus_used
    return Forecast(
        port=target.port,
        operations_per_s=rate,
        recorder_cpus=_range(rate * one.recorder_ns / 1e9 for one in constants),
        server_cpus=server,
        server_share=(server[0] / busy, server[1] / busy) if busy else None,
        bytes_per_s=_range(rate * one.bytes for one in constants),
        measured="; ".join(one.measured for one in constants),
        idle=idle,
    )


def _range(values: Iterable[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[0], ordered[-1]
