"""A server's own rate → the cost of recording it, before anything is attached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from membench._doctor.host import Server


@dataclass(frozen=True, slots=True)
class OperationCost:
    """The cost of recording one operation.

    Attributes:
        recorder_ns: CPU time of the recorder, from the ring to the disk, ns.
        server_ns: Additional CPU time of the server, ns.
        bytes: Bytes on disk.
        measured: Place and way of the measurement.
    """

    recorder_ns: float
    server_ns: float
    bytes: float
    measured: str


# Figures of docs/performance.md for `--responses bytes`.
# 32 requests in a write: the recorder's CPU and the cost to the server are of the row `bytes`.
# One request at a time, from the lines below that table: the recorder's CPU, and the time of the
# kernel programs in place of the cost to the server, which varied too much to be measured.
# Bytes on disk, under "Profile": few sizes and 100 k keys; many sizes with server times.
PUBLISHED = (
    OperationCost(655, 1148, 7.3, "docs/performance.md, 32 requests in a write"),
    OperationCost(903, 2014, 13.0, "docs/performance.md, one request at a time"),
)

# Rate assumed for a server with nothing to do, operations/s.
IDLE_RATE = 100_000.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """The cost of recording one server; each range is from the least to the most.

    Attributes:
        port: The server's port.
        operations_per_s: The server's rate.
        recorder_cpus: CPUs that the recorder needs here.
        server_cpus: Additional CPUs that the server needs.
        server_share: `server_cpus` as a share of the CPU time that the server takes now; None if
            that is unknown.
        bytes_per_s: Bytes per second to disk.
        measured: Source of the costs per operation.
        idle: True if the server has nothing to do: the forecast is then for `IDLE_RATE`.
    """

    port: int
    operations_per_s: float
    recorder_cpus: tuple[float, float]
    server_cpus: tuple[float, float]
    server_share: tuple[float, float] | None
    bytes_per_s: tuple[float, float]
    measured: str
    idle: bool = False


def forecast(server: Server, costs: tuple[OperationCost, ...] = PUBLISHED) -> Forecast | None:
    """Forecast the cost of recording a server; None if it did not tell its rate."""
    if server.operations_per_s is None:
        return None
    idle = server.operations_per_s < 1
    rate = IDLE_RATE if idle else server.operations_per_s
    server_cpus = _range(rate * cost.server_ns / 1e9 for cost in costs)
    busy = None if idle else server.cpus_used
    return Forecast(
        port=server.port,
        operations_per_s=rate,
        recorder_cpus=_range(rate * cost.recorder_ns / 1e9 for cost in costs),
        server_cpus=server_cpus,
        server_share=(server_cpus[0] / busy, server_cpus[1] / busy) if busy else None,
        bytes_per_s=_range(rate * cost.bytes for cost in costs),
        measured="; ".join(cost.measured for cost in costs),
        idle=idle,
    )


def _range(values: Iterable[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[0], ordered[-1]
