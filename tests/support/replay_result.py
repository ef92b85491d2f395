"""A result of a replay, for tests of what is made of one."""

from __future__ import annotations

from dataclasses import replace

from membench._reads import Reads
from membench._replay import (
    Durations,
    Generator,
    Outcomes,
    Percentiles,
    ReplayResult,
    ServerCounters,
    Target,
    Warm,
)

GET = Percentiles(110_000, 190_000, 250_000, 420_000, 1_310_000, 4_200_000, 120_000.0, 900)
ALL = Durations(
    110_000,
    190_000,
    250_000,
    420_000,
    1_310_000,
    4_200_000,
    120_000.0,
    900,
    by_command={"get": GET},
)
LAG = Durations(400, 900, 1_000, 21_000, 300_000, 900_000, 700.0, 1000)
RESULT = ReplayResult(
    planned=1000,
    planned_s=59.0,
    sent=1000,
    answered=1000,
    suppressed=0,
    errors=0,
    new_errors=0,
    unexpected=0,
    reconnects=0,
    skipped={},
    unsent={},
    unanswered={},
    unknown_cas=0,
    response_ns=ALL,
    service_ns=ALL,
    wire_ns=replace(ALL, p50=80_000),
    client_ns=replace(ALL, p50=30_000),
    lag_ns=LAG,
    outcomes=Outcomes(
        recorded={"get": {"hit": 924, "miss": 76}},
        replayed={"get": {"hit": 921, "miss": 79}},
        differences={"get": {"hit -> miss": 3}},
        recorded_reads=Reads(924, 76),
        replayed_reads=Reads(921, 79),
    ),
    generator=Generator(3_320.0, 0.61, 1, 60_000),
    timing_held=True,
    stopped=False,
    duration_s=60.0,
    target=Target("10.0.0.7:11211", "1.6.45", "4"),
    server=ServerCounters(
        counters={},
        bytes_written_by_replay=4_381_425,
        bytes_read=4_381_425,
        bytes_agree=True,
        bytes_not_replayed={},
        bytes_changed={},
    ),
    warm=Warm(1_210_000, 402_000_000, 0, 0, 450_000_000),
)
