"""`get.p99<1ms` and a replay's result → whether it holds."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from membench.errors import UsageError

_TIMES = {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_QUANTILES = ("p50", "p90", "p95", "p99", "p999", "max", "mean")
_KINDS = ("response", "service", "lag")
_FORM = re.compile(r"\s*([a-z_.0-9]+)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?)\s*([a-zµ%]*)\s*")
_EXAMPLES = "for example `get.p99<1ms`, `lag.p99<5ms`, `errors<0.01%`, `hit_ratio>0.95`"


@dataclass(frozen=True, slots=True)
class Check:
    """A threshold as written (`text`) and as read; `limit` in ns, as a share of one, or a count."""

    text: str
    metric: str
    relation: str
    limit: float
    unit: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check, what was measured, and whether it passed; nothing measured does not pass."""

    check: Check
    measured: float | None
    passed: bool


def parse(text: str) -> Check:
    """Read one check.

    Raises:
        UsageError: It is not `METRIC<LIMIT`, or names a metric or unit that there is not.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is not a check", _EXAMPLES)
    metric, relation, number, unit = found.groups()
    if not unit_fits(metric, unit):
        raise UsageError(f"{text!r}: {_expected(metric)}", _EXAMPLES)
    scale = _TIMES.get(unit, 0.01 if unit == "%" else 1.0)
    return Check(text.strip(), metric, relation, float(number) * scale, unit)


def unit_fits(metric: str, unit: str) -> bool:
    """Whether such a metric exists and is measured in that unit."""
    if metric == "errors":
        return unit in ("", "%")
    if metric == "hit_ratio":
        return unit in ("", "%")
    return metric.rpartition(".")[2] in _QUANTILES and unit in _TIMES


def judge(checks: Iterable[Check], result: Mapping[str, object]) -> tuple[Verdict, ...]:
    """Hold each check against a replay's result, in the form of its JSON."""
    return tuple(_judge_one(check, result) for check in checks)


def measure(metric: str, unit: str, result: Mapping[str, object]) -> float | None:
    """Find what a metric came to; None when the replay has nothing of the kind."""
    match metric:
        case "errors":
            errors, sent = _number(result, "errors"), _number(result, "sent")
            return errors / max(sent, 1) if unit == "%" else errors
        case "hit_ratio":
            return _hit_ratio(result)
    *path, quantile = metric.split(".")
    kind = path.pop() if path and path[-1] in _KINDS else "response"
    times = result.get(f"{kind}_ns")
    if path and isinstance(times, Mapping):
        times = times.get("by_command", {}).get(".".join(path))
    value = times.get(quantile) if isinstance(times, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _judge_one(check: Check, result: Mapping[str, object]) -> Verdict:
    measured = measure(check.metric, check.unit, result)
    passed = measured is not None and _OPERATORS[check.relation](measured, check.limit)
    return Verdict(check, measured, passed)


def _hit_ratio(result: Mapping[str, object]) -> float | None:
    outcomes = result.get("outcomes")
    replayed = outcomes.get("replayed") if isinstance(outcomes, Mapping) else None
    if not isinstance(replayed, Mapping):
        return None
    commands = [counts for counts in replayed.values() if isinstance(counts, Mapping)]
    hits = sum(_number(counts, "hit") for counts in commands)
    misses = sum(_number(counts, "miss") for counts in commands)
    return hits / (hits + misses) if hits + misses else None


def _number(values: Mapping[str, object], name: str) -> float:
    value = values.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0


def _expected(metric: str) -> str:
    if metric.rpartition(".")[2] in _QUANTILES:
        return f"a time needs a unit: {', '.join(_TIMES)}"
    return f"no metric {metric!r}; there are COMMAND.QUANTILE, lag.QUANTILE, errors, hit_ratio"
