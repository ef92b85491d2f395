"""Results of processes that replayed a profile together → the result of all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from membench import _arguments as check, _native
from membench._host import HostFacts
from membench._metrics import Threshold
from membench._reads import Reads
from membench._replay import (
    ALONE,
    Counts,
    Durations,
    Expiries,
    FillCounts,
    Generator,
    Outcomes,
    ReplayResult,
    StoredHistograms,
    TargetShare,
    Warm,
)
from membench._replay_options import parse_shard
from membench._results import build
from membench._runs import Run, results
from membench.errors import UsageError
from membench.report.numbers import duration

# Faults of a set of runs that an error lists.
_TOLD = 5
_SUMS = (
    *("planned", "sent", "answered", "suppressed", "errors", "new_errors", "unexpected"),
    *("reconnects", "unknown_cas", "late"),
)
_SUMS_BY_CAUSE = ("skipped", "unsent", "unanswered")
_KINDS = ("response", "service", "wire", "client", "lag")

Summed = TypeVar("Summed", Reads, Warm, Expiries, FillCounts)


def merge_runs(runs: Sequence[Run], *, checks: Sequence[str] = ()) -> ReplayResult:
    """Add the results of processes that replayed a profile together, each with its `shard`.

    Counts are sums. Histograms are added, so percentiles are those of one process that had measured
    everything. The timing held if it held in each process.

    Args:
        runs: A result of each shard, or the files of `replay --out`.
        checks: Thresholds for the whole, as `membench.replay` takes them.

    Raises:
        UsageError: A file holds no result, a shard is missing or there twice, or the runs differ in
            profile, pacing, seed, length, lag that counts as late, or targets.
    """
    thresholds = [Threshold.parse(text) for text in check.texts("checks", checks)]
    all_runs = results("runs", runs)
    _must_be_one_replay(all_runs)
    histograms, durations = _durations(all_runs)
    # Each observation is of all that the target did, whoever sent it.
    observing = next((run for run in all_runs if run.observation is not None), all_runs[0])
    changed: dict[str, Any] = {
        "planned_s": max(run.planned_s for run in all_runs),
        "host": _host(all_runs),
        "observed": observing.observed,
        "observation": observing.observation,
        "outcomes": _outcomes([run.outcomes for run in all_runs]),
        "generator": _generator(all_runs),
        "timing_held": all(run.timing_held for run in all_runs),
        "stopped": any(run.stopped for run in all_runs),
        "duration_s": max(run.duration_s for run in all_runs),
        "server": None,
        "warm": _sum([run.warm for run in all_runs]),
        "expiries": _sum([run.expiries for run in all_runs]),
        "fills": _sum([run.fills for run in all_runs]),
        "targets": _targets(all_runs),
        "shared_keys": max(run.shared_keys for run in all_runs),
        "histograms": histograms,
        "shard": ALONE,
        "checks": (),
    }
    for name in _SUMS:
        changed[name] = sum(getattr(run, name) for run in all_runs)
    for name in _SUMS_BY_CAUSE:
        changed[name] = _added(getattr(run, name) for run in all_runs)
    merged = replace(all_runs[0], **durations, **changed)
    return replace(merged, checks=tuple(threshold.check(merged) for threshold in thresholds))


def _must_be_one_replay(runs: Sequence[ReplayResult]) -> None:
    """Refuse runs that are not all the shards of one replay.

    Raises:
        UsageError: They are not.
    """
    shards = [parse_shard(run.shard) for run in runs]
    _, of = shards[0]
    if of < 2 or any(run.histograms is None for run in runs):  # noqa: PLR2004 - two are several
        raise UsageError(
            f"a run of {runs[0].profile or 'a profile'} was the only process of its replay",
            "`replay --shard 0/N --out FILE` makes results that can be added",
        )
    known = set(shards)
    twice = sorted(shard for shard in known if shards.count(shard) > 1)
    others = sorted(shard for shard in known if shard[1] != of)
    absent = [(index, of) for index in range(of) if (index, of) not in known]
    faults = [
        f"{index}/{total} is {what}"
        for what, found in (
            ("there twice", twice),
            ("of another replay", others),
            ("missing", absent),
        )
        for index, total in found
    ]
    if faults:
        more = f"; {len(faults) - _TOLD:,} more" if len(faults) > _TOLD else ""
        raise UsageError(
            f"the runs are not the {of} shards of a replay: {'; '.join(faults[:_TOLD])}{more}",
            "name the result of each shard once",
        )
    conditions: dict[str, Callable[[ReplayResult], object]] = {
        "profile": lambda run: run.profile.rpartition("/")[2],
        "pacing": lambda run: run.pacing,
        "seed": lambda run: run.seed,
        "options": lambda run: ", ".join(f"{name} {text}" for name, text in run.load.items()),
        "length": lambda run: f"{run.planned_s:.0f} s",
        "lag that counts as late": lambda run: duration(run.late_after_ns),
        "targets": lambda run: "; ".join(
            f"{share.name} for {', '.join(share.servers)}" for share in run.targets
        ),
    }
    for what, tell in conditions.items():
        if len(told := {tell(run) for run in runs}) > 1:
            listed = ", ".join(sorted(map(str, told)))
            raise UsageError(f"the runs differ in their {what}: {listed}", "add runs of one replay")


def _durations(
    runs: Sequence[ReplayResult],
) -> tuple[dict[str, dict[str, StoredHistograms]], dict[str, Any]]:
    """Add the histograms; return them with the percentiles of their sums."""
    stored = [
        {
            kind: {
                command: {"answered": pair.answered, "unanswered": pair.unanswered}
                for command, pair in by_command.items()
            }
            for kind, by_command in (run.histograms or {}).items()
        }
        for run in runs
    ]
    try:
        merged = json.loads(_native.merge_histograms(json.dumps(stored)))
    except ValueError as error:
        raise UsageError(
            "a run's histograms cannot be read", "add files as `replay --out` wrote them"
        ) from error
    summaries = merged["summaries"]
    durations = {
        f"{kind}_ns": build(Durations, summaries[kind]) for kind in _KINDS if kind in summaries
    }
    return build(dict[str, dict[str, StoredHistograms]], merged["histograms"]), durations


def _added(parts: Iterable[Counts]) -> Counts:
    total: Counts = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return dict(sorted(total.items()))


def _outcomes(parts: Sequence[Outcomes]) -> Outcomes:
    def by_command(name: str) -> dict[str, Counts]:
        commands = sorted({command for part in parts for command in getattr(part, name)})
        return {
            command: _added(getattr(part, name).get(command, {}) for part in parts)
            for command in commands
        }

    return Outcomes(
        recorded=by_command("recorded"),
        replayed=by_command("replayed"),
        differences=by_command("differences"),
        recorded_reads=_sum_all([part.recorded_reads for part in parts]),
        replayed_reads=_sum_all([part.replayed_reads for part in parts]),
    )


def _generator(runs: Sequence[ReplayResult]) -> Generator:
    sent = sum(run.sent for run in runs)
    cpu = sum(run.generator.cpu_ns_per_request * run.sent for run in runs)
    return Generator(
        cpu_ns_per_request=cpu / max(sent, 1),
        cpu_share=sum(run.generator.cpu_share for run in runs),
        threads=sum(run.generator.threads for run in runs),
        guard_ns=max(run.generator.guard_ns for run in runs),
        wait=runs[0].generator.wait,
        busiest_share=max(run.generator.busiest_share for run in runs),
        preemptions=sum(run.generator.preemptions for run in runs),
        stolen_s=_stolen_s(runs),
    )


def _stolen_s(runs: Sequence[ReplayResult]) -> float:
    """Add the time that was stolen from each host; every process of a host tells all of it."""
    of_host: dict[str | int, float] = {}
    for number, run in enumerate(runs):
        host = _host_id(run) or number
        of_host[host] = max(of_host.get(host, 0.0), run.generator.stolen_s)
    return sum(of_host.values())


def _host(runs: Sequence[ReplayResult]) -> HostFacts | None:
    """Return the host of the runs; None if they had several, or that is not known."""
    ids = {_host_id(run) for run in runs}
    return runs[0].host if len(ids) == 1 and None not in ids else None


def _host_id(run: ReplayResult) -> str | None:
    return run.host.id if run.host is not None else None


def _targets(runs: Sequence[ReplayResult]) -> tuple[TargetShare, ...]:
    planned = [sum(shares) for shares in zip(*(_planned(run) for run in runs), strict=True)]
    return tuple(
        replace(share, planned=requests)
        for share, requests in zip(runs[0].targets, planned, strict=True)
    )


def _planned(run: ReplayResult) -> list[int]:
    return [share.planned for share in run.targets]


def _sum(parts: Sequence[Summed | None]) -> Summed | None:
    told = [part for part in parts if part is not None]
    return _sum_all(told) if told else None


def _sum_all(parts: Sequence[Summed]) -> Summed:
    names = [one.name for one in fields(parts[0])]
    return type(parts[0])(**{name: sum(getattr(part, name) for part in parts) for name in names})
