"""Figures for Prometheus: sums over intervals, with bounded labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from test_observe_report import INTERVAL, THREAD

from membench import Culprit, ObservedServer, ObserveInterval
from membench._observe.prometheus import COUNTERS, GAUGES, Metrics

SERVER = ObservedServer(11211, 812, (THREAD, replace(THREAD, thread=814)), {"cmd_get": 100})
WITH_SERVER = replace(INTERVAL, servers=(SERVER,), slow_requests=3)


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    with Metrics("127.0.0.1:0") as bound:
        yield bound


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def test_counters_grow_by_each_interval_and_gauges_are_those_of_the_last(metrics: Metrics) -> None:
    metrics.add(WITH_SERVER)
    metrics.add(replace(WITH_SERVER, cost_ns_per_request=500.0))
    found = samples(metrics)
    assert found["membench_requests_total", ()] == 2000
    assert found["membench_request_seconds_total", ("stopped",)] == pytest.approx(0.012)
    assert found["membench_slow_requests_total", ()] == 6
    assert found["membench_requests_left_out_total", ("unseen",)] == 2
    assert found["membench_server_counter_total", ("11211", "cmd_get")] == 200
    assert found["membench_thread_cpu_seconds_total", ("11211", "worker")] == 1.0
    assert found["membench_request_quantile_seconds", ("whole", "0.999")] == 9e-05
    assert found["membench_own_request_seconds", ()] == 5e-07
    assert found["membench_verdict_share", ("stopped",)] == 0.6


def test_a_verdict_that_no_longer_holds_is_gone(metrics: Metrics) -> None:
    metrics.add(WITH_SERVER)
    metrics.add(replace(WITH_SERVER, verdicts=()))
    assert not [name for name, _ in samples(metrics) if name == "membench_verdict_share"]


def test_tasks_are_told_by_kind_and_never_by_name(metrics: Metrics) -> None:
    others = [Culprit(f"task-{number}", number, None, 1_000, 1, 0.1) for number in range(900, 990)]
    own = Culprit("mc-worker", 812, None, 2_000_000, 1, 0.1)
    idle = Culprit("idle", 0, None, 3_000_000, 1, 0.1)
    metrics.add(replace(WITH_SERVER, culprits=(*others, own, idle)))
    found = samples(metrics)
    behind = {
        labels[0]: value
        for (name, labels), value in found.items()
        if name == "membench_wait_seconds_total"
    }
    assert behind == pytest.approx(
        {"neighbours": 90e-6, "memcached": 2e-3, "idle": 3e-3, "brief": 1e-3, "unknown": 0.0}
    )


def test_without_requests_there_are_no_figures_of_requests(metrics: Metrics) -> None:
    without: ObserveInterval = replace(
        WITH_SERVER, account=None, misses=None, slow_requests=None, verdicts=(), culprits=()
    )
    metrics.add(without)
    names = {name for name, _ in samples(metrics)}
    assert "membench_thread_cpu_seconds_total" in names
    assert not {name for name in names if "request_" in name and "own" not in name}


def test_each_figure_has_a_text(metrics: Metrics) -> None:
    metrics.add(WITH_SERVER)
    told = {family.name: family.documentation for family in metrics.collect()}
    assert told.keys() == COUNTERS.keys() | GAUGES.keys()
    assert all(told.values())
