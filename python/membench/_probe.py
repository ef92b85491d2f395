"""Any hook of the kernel or of a program → what its hits are like, one interval after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from membench import _arguments as check, _native
from membench._files import created
from membench._options import By
from membench._results import from_json
from membench._running import Running, interval_ends
from membench.errors import UsageError

# How long one wait lasts before the cost is looked at again, s.
_TURN_S = 0.05
# Most stacks of an interval.
MOST_STACKS = 1 << 14
MOST_PID = (1 << 22) - 1
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Bucket:
    """Values from `low` on and below `high`, each None without a bound."""

    low: int | None
    high: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Values by size.

    Attributes:
        value: The operand that was measured, or `latency`.
        unit: Unit of the values; None if the operand's is not known.
        count: Number of values.
        mean: Their mean; None without any.
        buckets: Buckets from the first to the last that is not empty.
    """

    value: str
    unit: str | None
    count: int
    mean: float | None
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class HitGroup:
    """Hits of a process, a thread, a CPU or a function.

    Attributes:
        id: Its number; None for functions.
        name: Its name; None for CPUs.
        count: Hits.
        histogram: The histogram, if one was asked for.
    """

    id: int | None
    name: str | None
    count: int
    histogram: Histogram | None


@dataclass(frozen=True, slots=True)
class HitStack:
    """Hits that one stack led to.

    Attributes:
        count: Hits.
        process: The process.
        name: Its name; None if it is gone.
        frames: Functions, from the innermost to the outermost; the kernel's end in `_[k]`.
    """

    count: int
    process: int
    name: str | None
    frames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LostHits:
    """Hits that are not in each of the counts.

    Attributes:
        unpaired: Ends of calls whose beginning is not known: they had begun before the probe, or
            were inside one another.
        ungrouped: Hits of processes or threads beyond the most that are kept apart.
        unstacked: Hits whose stack could not be kept.
        unreadable: Hits whose value could not be read.
    """

    unpaired: int
    ungrouped: int
    unstacked: int
    unreadable: int

    @property
    def total(self) -> int:
        """Hits that were lost. Calls that had begun before the probe are not among them."""
        return self.ungrouped + self.unstacked + self.unreadable


@dataclass(frozen=True, slots=True)
class ProbeInterval:
    """One interval of a probe.

    Attributes:
        hook: The hook.
        elapsed_s: Time from the start of the probe to the end of the interval, s.
        interval_s: Length of the interval, s.
        count: Hits; with `latency`, calls that ended.
        rate: Hits a second.
        misses: Hits for which the kernel did not run the program, because it was running on that
            CPU already.
        cost_ns: Time that a hit costs the task that makes it, ns; None if there was none.
        trap_ns: Part of `cost_ns` that the trap into the kernel takes, ns; 0 for hooks in the
            kernel.
        cpu_share: Time that all hits cost, as a share of one CPU.
        lost: Hits that are not in each of the counts.
        histogram: The histogram, if one was asked for.
        groups: Counts apart, the largest first.
        stacks: Stacks, the most frequent first.
        stacks_seen: Number of stacks in all.
    """

    hook: str
    elapsed_s: float
    interval_s: float
    count: int
    rate: float
    misses: int
    cost_ns: float | None
    trap_ns: float
    cpu_share: float
    lost: LostHits
    histogram: Histogram | None
    groups: tuple[HitGroup, ...]
    stacks: tuple[HitStack, ...]
    stacks_seen: int


@dataclass(frozen=True, slots=True)
class FoundHook:
    """A hook that was found.

    Attributes:
        hook: The hook, as `probe` takes it.
        operands: Its operands that are known by name.
        works: True if it would work here.
        reason: The reason if it would not.
    """

    hook: str
    operands: tuple[str, ...]
    works: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a probe, as the engine takes them."""

    hook: str
    pids: list[int]
    comms: list[str]
    cgroups: list[str]
    ports: list[int]
    histogram: str | None
    linear: tuple[int, int, int] | None
    latency: bool
    stacks: bool
    top: int
    by: str | None
    max_cost: float | None
    drop_privileges: bool


class Probe(Running):
    """A hook that is observed; leaving its `with` block ends that.

    Iterating yields one `ProbeInterval` an interval, until the duration is over, the cost passes
    its limit, or `stop` is called; the last one holds the rest.
    """

    def __init__(
        self, native: _native.Probe, interval_s: float | None, duration_s: float | None
    ) -> None:
        """Take over a probe that is attached; use `membench.probe` instead."""
        self._native = native
        self._begun = time.monotonic()
        self._interval_s = interval_s
        self._duration_s = duration_s
        self._excess: float | None = None
        self._ended = False

    def _end(self) -> None:
        self.stop()

    def __iter__(self) -> Iterator[ProbeInterval]:
        """Yield each interval; without a length, one that lasts until the end."""
        lengths = (self._interval_s, self._duration_s)
        for _ in interval_ends(self._begun, *lengths, self._wait, lambda: self._ended):
            yield self.take()
        self.stop()
        yield self.take()

    @property
    def hook(self) -> str:
        """The hook."""
        return self._native.hook

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that the hook's pattern matches; none if it is no pattern."""
        return tuple(self._native.functions)

    @property
    def excess(self) -> float | None:
        """The share of one CPU at which the probe ended by itself; None if it did not."""
        return self._excess

    def take(self) -> ProbeInterval:
        """Return what was counted since the last call."""
        return from_json(ProbeInterval, self._native.take())

    def folded(self) -> list[str]:
        """Return the stacks of all intervals taken, folded: one a line, with its count."""
        return self._native.folded()

    def flame_graph(self, path: str | os.PathLike[str]) -> None:
        """Write a flame graph (SVG) of the stacks of all intervals taken; a file there is replaced.

        Raises:
            CaptureUnavailableError: There is no stack.
            MembenchError: The file cannot be written.
        """
        drawn = self.draw()
        with created(Path(path), force=True) as file:
            file.write(drawn)

    def draw(self) -> bytes:
        """Return a flame graph (SVG) of the stacks of all intervals taken.

        Raises:
            CaptureUnavailableError: There is no stack.
        """
        return self._native.flame_graph()

    def stop(self) -> None:
        """Detach the programs; what they counted can still be taken."""
        self._ended = True
        self._native.detach()

    def _wait(self, until: float) -> None:
        """Wait; end the probe once its cost passes the limit."""
        while not self._ended and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _TURN_S))
            self._excess = self._native.excess()
            if self._excess is not None:
                self.stop()


def probe(  # noqa: PLR0913 - all but one are keyword-only options
    hook: str,
    *,
    pids: Sequence[int] = (),
    comms: Sequence[str] = (),
    cgroups: Sequence[str | os.PathLike[str]] = (),
    ports: Sequence[int] = (),
    histogram: str | None = None,
    linear: tuple[int, int, int] | None = None,
    latency: bool = False,
    stacks: bool = False,
    top: int = 10,
    by: By | None = None,
    duration_s: float | None = None,
    interval_s: float | None = None,
    max_cost: float | None = None,
    drop_privileges: bool = False,
) -> Probe:
    """Observe a hook of the kernel or of a program; filters and sums are made in the kernel.

    Args:
        hook: `tracepoint:CATEGORY:NAME`, `tp_btf:NAME`, `raw_tp:NAME`, `kprobe:FUNCTION`,
            `kretprobe:FUNCTION`, `fentry:FUNCTION`, `fexit:FUNCTION`, `uprobe:FILE:FUNCTION`,
            `uretprobe:FILE:FUNCTION`, `usdt:FILE:PROVIDER:NAME` or `perf:EVENT@HZ`. A pattern such
            as `tcp_*` is every function that it matches, at these hooks but `fentry` and `fexit`;
            their counts are kept apart.
        pids: Only these processes.
        comms: Only threads of these names.
        cgroups: Only these control groups (v2).
        ports: Only sockets with one of these ports, at either end; the hook must pass a socket.
        histogram: Count a histogram of this operand: a field's or argument's name, `argN`, or
            `ret`; `ret:i32` reads it as that type.
        linear: Range and width of the histogram's buckets, (least, most, step); else its buckets
            are powers of two.
        latency: Count a histogram of the time between the beginning and the end of a call, ns.
        stacks: Count the stacks that lead to the hook.
        top: Number of stacks of an interval.
        by: Keep the counts of each apart.
        duration_s: End after this time.
        interval_s: Length of an interval; without it, one lasts until the end.
        max_cost: End once the hits take more than this share of one CPU.
        drop_privileges: Give up the capabilities of this process once attached, but for those
            that stacks take; irreversible.

    Raises:
        UsageError: An argument is wrong, or there is no such hook; see `hint`.
        CaptureUnavailableError: This machine or your permissions do not allow it; see `hint`.
    """
    if by is not None:
        check.one_of("groups", by, get_args(By))
    for what, seconds in (("a duration", duration_s), ("an interval", interval_s)):
        if seconds is not None:
            check.seconds(what, seconds)
    if max_cost is not None:
        check.positive("a share of a CPU", max_cost, 1e4)
    options = Options(
        hook=check.text("hook", hook),
        pids=[check.whole("a process", pid, 1, MOST_PID) for pid in check.several("pids", pids)],
        comms=[check.text("comms", comm) for comm in check.several("comms", comms)],
        cgroups=check.paths("cgroups", cgroups),
        ports=check.ports(ports),
        histogram=None if histogram is None else check.text("histogram", histogram),
        linear=None if linear is None else _range(linear),
        latency=check.flag("latency", latency),
        stacks=check.flag("stacks", stacks),
        top=check.whole("a number of stacks", top, 1, MOST_STACKS),
        by=by,
        max_cost=max_cost,
        drop_privileges=check.flag("drop_privileges", drop_privileges),
    )
    return Probe(_native.Probe(options), interval_s, duration_s)


def find_hooks(pattern: str) -> tuple[FoundHook, ...]:
    """Find hooks whose names match a pattern, in which `*` stands for any letters.

    Args:
        pattern: `tcp_*` finds tracepoints and kernel functions; `fentry:tcp_*` keeps to a kind;
            `uprobe:FILE:*` finds functions of a program or library, `usdt:FILE` its own probes.

    Raises:
        UsageError: The pattern is wrong.
        CaptureUnavailableError: A file cannot be read.
    """
    found = from_json(_Found, f'{{"hooks": {_native.find_hooks(check.text("pattern", pattern))}}}')
    return found.hooks


@dataclass(frozen=True, slots=True)
class _Found:
    hooks: tuple[FoundHook, ...]


def _range(linear: Sequence[int]) -> tuple[int, int, int]:
    numbers = check.several("linear", linear)
    if len(numbers) != 3:  # noqa: PLR2004 - least, most, step
        raise UsageError(f"{linear!r} is not a range", "`linear=(least, most, step)`")
    least, most, step = numbers
    return (
        check.whole("a least value", least, _LEAST, _MOST),
        check.whole("a largest value", most, _LEAST, _MOST),
        check.whole("a step", step, 1, _MOST),
    )
