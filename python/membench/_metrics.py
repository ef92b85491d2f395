"""Names such as `get.p99` → what a replay measured, and thresholds for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from membench._units import NANOSECONDS
from membench.errors import UsageError

if TYPE_CHECKING:
    from membench._replay import Durations, ReplayResult

_UNITS = NANOSECONDS | {"%": 0.01}
_CHECK = re.compile(
    r"\s*([\w.]+)\s*(<=|>=|<|>)\s*([0-9]{1,15}(?:\.[0-9]{1,15})?|\.[0-9]{1,15})\s*"
    rf"({'|'.join(_UNITS)})?\s*"
)
_DURATIONS = ("response", "service", "wire", "client", "lag")
# The engine's names of commands, by which it measures durations.
COMMANDS = (
    *("get", "gets", "mget", "gat", "gats", "set", "add", "replace", "append", "prepend", "cas"),
    *("delete", "incr", "decr", "touch", "mg", "ms", "md", "ma", "mn", "me"),
    *("stats", "flush_all", "version", "verbosity", "quit", "other"),
)
_QUANTILES = ("p50", "p90", "p95", "p99", "p999", "max", "mean")
RATIOS = (("errors",), ("hit_ratio",))
_EXAMPLES = "`get.p99<1ms`, `lag.p99<5ms`, `errors<0.01%` and `hit_ratio>0.9` are checks"


@dataclass(frozen=True, slots=True)
class Check:
    """A threshold and the measured value.

    Attributes:
        text: The threshold, as the user wrote it.
        limit: Its limit: ns, or a ratio from 0 to 1.
        value: The measured value in the same unit; None if nothing was measured.
        passed: True if the value is certain to be within the limit.
        at_least: True if the value is a lower bound, as requests got no answer.
    """

    text: str
    limit: float
    value: float | None
    passed: bool
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit of one metric, such as `get.p99<1ms`."""

    text: str
    metric: tuple[str, ...]
    relation: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read a threshold.

        Raises:
            UsageError: It is none, or no replay measures its metric.
        """
        match = _CHECK.fullmatch(text)
        if match is None:
            raise UsageError(f"not a check: `{text}`", _EXAMPLES)
        metric = tuple(match[1].split("."))
        is_time = match[4] in NANOSECONDS
        if is_time != (metric not in RATIOS):
            raise UsageError(f"not a check: `{text}`", _EXAMPLES)
        if is_time:
            require_known("check", text, metric)
        return cls(text, metric, match[2], float(match[3]) * _UNITS.get(match[4] or "", 1.0))

    def check(self, result: ReplayResult) -> Check:
        """Compare a result with the limit."""
        value, is_bound = measured(result, self.metric)
        below = value is not None and value < self.limit
        above = value is not None and value > self.limit
        equal = value is not None and value == self.limit
        if is_bound:  # the true value may be any higher one
            below = False
        passed = {
            "<": below,
            ">": above,
            "<=": below or (equal and not is_bound),
            ">=": above or equal,
        }
        return Check(self.text, self.limit, value, passed[self.relation], is_bound)


def is_ratio(text: str) -> bool:
    """Return true if a metric, or a check of one, is a ratio and no duration."""
    return text.lstrip().startswith(tuple(name for (name,) in RATIOS))


def require_known(what: str, text: str, metric: tuple[str, ...], times: Sequence[str] = ()) -> None:
    """Refuse a time that no replay measures: `KIND.p99`, `COMMAND.p99`, `KIND.COMMAND.p99`.

    `times` are the kinds of a recording, whose commands have no further ones.

    Raises:
        UsageError: No replay measures it.
    """
    *path, quantile = metric
    words: list[tuple[str, tuple[str, ...]]] = [(quantile, _QUANTILES)]
    match path:
        case [one]:
            words.append((one, (*(times or _DURATIONS), *COMMANDS)))
        case [kind, command] if not times:
            words += [(kind, _DURATIONS), (command, COMMANDS)]
        case _:
            raise UsageError(f"not a {what}: `{text}`", _EXAMPLES)
    for word, known in words:
        if word not in known:
            raise UsageError(
                f"not a {what}: `{text}`, as nothing is called `{word}` there",
                f"the names are {', '.join(known)}",
            )


def measured(result: ReplayResult, metric: tuple[str, ...]) -> tuple[float | None, bool]:
    """Look up `errors`, `hit_ratio` or a percentile: `get.p99`, `lag.p99`, `service.get.p99`.

    Returns:
        The value, and True if it is a lower bound.
    """
    if metric == ("errors",):
        return result.errors / max(_due(result), 1), False
    if metric == ("hit_ratio",):
        return result.outcomes.replayed_reads.hit_ratio, False
    *path, quantile = metric
    kind = path.pop(0) if path[0] in _DURATIONS else "response"
    durations: Durations = getattr(result, f"{kind}_ns")
    percentiles = durations.by_command.get(path[0]) if path else durations
    if percentiles is None or not percentiles.count:
        return None, False
    return float(getattr(percentiles, quantile)), quantile in percentiles.at_least


def _due(result: ReplayResult) -> int:
    """Count the planned requests, or those up to the stop."""
    if not result.stopped:
        return result.planned
    return result.sent + sum(
        amount for cause, amount in result.unsent.items() if cause != "stopped"
    )
