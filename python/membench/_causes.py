"""Accounts of two sides and a change of a metric → the cause of the change, with its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from membench._observe.observe import ObserveInterval
from membench._observe.results import PARTS
from membench._observe.total import Total
from membench.report.numbers import duration, percent

# A smaller change is none.
_NOTABLE = 0.05
# Share of a change of a quantile from which the same quantile of the server's time explains it.
_EXPLAINED = 0.5
# Share of a change that one part must explain to be its cause.
_PART_EXPLAINS = 0.25
# A smaller change of memcached's own time is none.
_OWN_NOTABLE = 0.1
_QUEUE = ("run_queue_woken", "run_queue_preempted")
# Verdicts on waits for a CPU, each of which names who had it.
_QUEUE_RULES = frozenset({"own-quota", "steal", "neighbours", "own-threads", "idle-cpu", "mixed"})
_NAMES = {
    "wake_up": "wake-up",
    "accept": "accept",
    "run-queue": "run-queue wait",
    "ahead": "wait behind other requests",
    "read": "read",
    "memcached": "memcached's own time",
    "send": "send",
    "parked": "time set aside",
    "lock": "wait for memcached's lock",
    "page_fault": "wait for memory",
    "disk": "wait for a disk",
    "stopped": "time stopped",
    "kernel_wait": "wait in the kernel",
    "other_sleep": "other sleep",
    "unexplained": "unexplained time",
}


@dataclass(frozen=True, slots=True)
class ChangeVerdict:
    """The cause of a metric's change.

    Attributes:
        metric: The metric, as in `Change`.
        cause: `unchanged`; `unknown` if a side was not observed, or no part explains it; a rule of
            docs/observe.md, or the part of the server's time that changed most; `lag` if it is most
            of all that requests were sent late; `outside` if it is the network or the client.
        text: The cause in words.
        evidence: The figures behind it: times a request in ns, shares; `_a` and `_b` are the sides.
    """

    metric: str
    cause: str
    text: str
    evidence: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Moved:
    """A metric that was measured on both sides, and what its cause can be read from.

    Attributes:
        metric: Its name.
        change: B over A less 1; None if it has none.
        is_certain: False if its interval holds 0.
        by_ns: B less A, ns; None if it is no time that was observed.
        mean_by_ns: Change of the mean of that time, ns; of the client's times over all requests.
        lag_by_ns: Change of the mean time by which requests were sent late, ns.
        is_of_client: True if the time is the client's, of which the server's is a part.
        excluded: Parts of a request's time that are none of this time.
    """

    metric: str
    change: float | None
    is_certain: bool
    by_ns: float | None
    mean_by_ns: float | None
    is_of_client: bool
    lag_by_ns: float = 0.0
    excluded: frozenset[str] = frozenset()


class Accounts:
    """Accounts of one side: of one or more runs."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._total = Total()
        self._unobserved = 0

    def add(self, intervals: Iterator[ObserveInterval]) -> None:
        """Add the intervals of one run or recording."""
        is_any = False
        for interval in intervals:
            is_any = is_any or interval.account is not None
            self._total.add(interval)
        self._unobserved += not is_any

    def finish(self) -> Side | None:
        """Return the side; None if requests of any run were not observed."""
        whole = self._total.finish()
        if self._unobserved or whole is None or whole.account is None:
            return None
        if not whole.account.requests:
            return None
        return Side(whole)


class Side:
    """The account of one side, as means of a request."""

    def __init__(self, whole: ObserveInterval) -> None:
        """Take what was observed, requests among it."""
        assert whole.account is not None  # noqa: S101 - `Accounts` has looked
        self._quantiles = whole.account.quantiles
        self.requests = whole.account.requests
        self.whole_ns = whole.account.whole_ns / self.requests
        self.parts_ns = dict(_grouped(whole.account.parts_ns, self.requests))
        waited = whole.waited_ns or 0
        servers = {worker.process for worker in whole.workers}
        servers |= {one.process for one in whole.servers if one.process is not None}
        others = [one for one in whole.culprits if one.process and one.process not in servers]
        self.neighbour = max(others, key=lambda one: one.time_ns, default=None)
        self.shares = {
            "steal": whole.host.steal,
            "neighbours": sum(one.share for one in others),
            "throttled": (whole.host.throttled_ns or 0) / waited if waited else 0.0,
        }
        self.rules = {verdict.rule: verdict.text for verdict in whole.verdicts}

    def quantiles_ns(self, quantile: str) -> dict[str, float]:
        """Return a quantile of the whole and of each part, ns: 0 where there is none."""
        found = {
            part: float(getattr(times, f"{quantile}_ns", 0))
            for part, times in self._quantiles.items()
        }
        queue = max((found.get(part, 0.0) for part in _QUEUE), default=0.0)
        rest = {part: found.get(part, 0.0) for part in (*PARTS, "whole") if part not in _QUEUE}
        return rest | {"run-queue": queue}


def _grouped(parts: Mapping[str, int], requests: int) -> Iterator[tuple[str, float]]:
    yield "run-queue", sum(parts.get(part, 0) for part in _QUEUE) / requests
    for part in PARTS:
        if part not in _QUEUE:
            yield part, parts.get(part, 0) / requests


def explain(moved: Moved, a: Side | None, b: Side | None) -> ChangeVerdict:
    """Return the cause of a metric's change from A to B."""
    name = moved.metric.replace(".", " ")
    if moved.change is None or abs(moved.change) < _NOTABLE or not moved.is_certain:
        told = "no change to tell" if moved.change is None else f"{_signed(moved.change)}"
        return ChangeVerdict(moved.metric, "unchanged", f"{name} unchanged ({told})", {})
    said = f"{name} {_signed(moved.change)}"
    evidence = {"change": moved.change}
    if moved.by_ns is None:
        text = f"{said}: no part of it is the server's time"
        return ChangeVerdict(moved.metric, "unknown", text, evidence)
    if a is None or b is None:
        where = "neither side was" if a is b else "A was not" if a is None else "B was not"
        text = f"{said}: cause unknown, as {where} observed with requests"
        return ChangeVerdict(moved.metric, "unknown", text, evidence)
    return _explained(moved, said, evidence, a, b)


def _explained(
    moved: Moved, said: str, evidence: dict[str, float], a: Side, b: Side
) -> ChangeVerdict:
    quantile = moved.metric.rpartition(".")[2]
    by_mean = _Change(moved.mean_by_ns or 0.0, a.whole_ns, b.whole_ns, a.parts_ns, b.parts_ns)
    first, second = a.quantiles_ns(quantile), b.quantiles_ns(quantile)
    by_quantile = _Change(
        moved.by_ns or 0.0, first.pop("whole", 0.0), second.pop("whole", 0.0), first, second
    )
    direction = 1.0 if (moved.change or 0.0) > 0 else -1.0
    evidence |= {"server_ns_a": a.whole_ns, "server_ns_b": b.whole_ns}
    if moved.is_of_client and not by_quantile.is_at_server(direction):
        outside = _outside(moved, said, evidence, b.whole_ns - a.whole_ns, direction)
        if outside is not None:
            return outside
    for change, tail in ((by_quantile, f" {quantile}"), (by_mean, "")):
        part, part_ns = change.largest(direction, moved.excluded)
        by_ns = change.by_ns * direction
        if by_ns > 0 and part_ns * direction >= _PART_EXPLAINS * by_ns:
            told = f"{_NAMES.get(part, part)}{tail} {_by(part_ns)}"
            return _blamed(moved, said, evidence | {"part_ns": part_ns}, part, told, a, b)
    text = f"{said}: no one part of the server's time explains it; {_own(a, b)}"
    return ChangeVerdict(moved.metric, "unknown", text, evidence)


def _outside(
    moved: Moved, said: str, evidence: dict[str, float], at_server: float, direction: float
) -> ChangeVerdict | None:
    """Divide the change of the mean by where it was; None if most was at the server."""
    mean_by_ns = moved.mean_by_ns or 0.0
    rest = mean_by_ns - moved.lag_by_ns - at_server
    server, lag, outside = (one * direction for one in (at_server, moved.lag_by_ns, rest))
    if server > 0 and server >= max(lag, outside):
        return None
    evidence |= {"mean_by_ns": mean_by_ns, "lag_by_ns": moved.lag_by_ns}
    where = f"mean time at the server {_by(at_server)} of {_by(mean_by_ns)}"
    if lag > 0 and lag >= outside:
        text = f"{said}: requests were sent late, lag {_by(moved.lag_by_ns)}; {where}"
        return ChangeVerdict(moved.metric, "lag", text, evidence)
    text = f"{said}: outside the server, in the network or the client; {where}"
    return ChangeVerdict(moved.metric, "outside", text, evidence)


def _blamed(
    moved: Moved,
    said: str,
    evidence: dict[str, float],
    part: str,
    told: str,
    a: Side,
    b: Side,
) -> ChangeVerdict:
    """Return the verdict on a part; of waits for a CPU it names who had that."""
    cause, words = part.replace("_", "-"), [told]
    if part == "run-queue":
        cause, who = _who(a, b, evidence["part_ns"])
        words += who
        for share in ("neighbours", "steal", "throttled"):
            evidence |= {f"{share}_a": a.shares[share], f"{share}_b": b.shares[share]}
    text = f"{said}: {', '.join(words)}"
    if part != "memcached":
        text += f"; {_own(a, b)}"
    return ChangeVerdict(moved.metric, cause, text, evidence)


@dataclass(frozen=True, slots=True)
class _Change:
    """A figure that changed, and the same figure of the server's time and of its parts, ns."""

    by_ns: float
    whole_a: float
    whole_b: float
    parts_a: Mapping[str, float]
    parts_b: Mapping[str, float]

    def is_at_server(self, direction: float) -> bool:
        """Return true if the server's time explains most of the change."""
        at_server = (self.whole_b - self.whole_a) * direction
        by_ns = self.by_ns * direction
        return by_ns > 0 and at_server >= _EXPLAINED * by_ns

    def largest(self, direction: float, excluded: frozenset[str]) -> tuple[str, float]:
        """Return the part that changed most in a direction, and by how much, ns."""
        parts = (self.parts_a.keys() | self.parts_b.keys()) - excluded
        changes = {
            part: self.parts_b.get(part, 0.0) - self.parts_a.get(part, 0.0) for part in parts
        }
        part = max(sorted(changes), key=lambda part: changes[part] * direction)
        return part, changes[part]


def _who(a: Side, b: Side, direction: float) -> tuple[str, list[str]]:
    """Name who had the CPU on the side that waited longer."""
    slower = b if direction > 0 else a
    rule = next((rule for rule in slower.rules if rule in _QUEUE_RULES), "run-queue")
    shares = [
        f"neighbours' share {_percents(a.shares['neighbours'], b.shares['neighbours'])}",
        f"throttled for {_percents(a.shares['throttled'], b.shares['throttled'])} of the waits",
        f"steal {_percents(a.shares['steal'], b.shares['steal'])}",
    ]
    first = {"own-quota": 1, "steal": 2}.get(rule, 0)
    told = [shares[first]]
    words = {
        "own-quota": "its own CPU quota",
        "steal": "the hypervisor",
        "own-threads": "memcached's own threads",
        "idle-cpu": "an idle CPU that did not take it",
        "mixed": "no one cause",
    }
    if rule in words:
        told.append(words[rule])
    if rule in {"neighbours", "mixed"} and slower.neighbour is not None:
        told.append(f"the most {slower.neighbour.task} {percent(slower.neighbour.share)}")
    return rule, told


def _own(a: Side, b: Side) -> str:
    first, second = a.parts_ns["memcached"], b.parts_ns["memcached"]
    change = second / first - 1 if first else 0.0
    if abs(change) < _OWN_NOTABLE:
        return "memcached's own time unchanged"
    return f"memcached's own time {_signed(change)}"


def _percents(a: float, b: float) -> str:
    return f"{percent(a)} → {percent(b)}"


def _signed(change: float) -> str:
    return f"{change * 100:+.0f} %"


def _by(time_ns: float) -> str:
    return f"{'+' if time_ns >= 0 else '-'}{duration(abs(time_ns))}"
