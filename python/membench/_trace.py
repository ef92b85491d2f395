"""A live process → its system calls, with memcached's commands in them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

from membench import _arguments as check, _native
from membench._options import DEFAULT_RING_SIZE
from membench._results import from_json
from membench._running import Running
from membench.errors import UsageError

Outcome = Literal["any", "succeeded", "failed"]
Hooks = Literal["tracepoints", "functions"]

# Calls that are traced unless others are named: all, or with ports those on sockets.
ALL_CALLS = "%all"
SOCKET_CALLS = "%network,read,write,readv,writev,close"
# Options that are on or off.
_FLAGS = frozenset({"descriptors", "totals", "drop_privileges"})
# How long one wait in the engine lasts before Python looks at signals again, s.
_TURN_S = 0.1


@dataclass(frozen=True, slots=True)
class Exchanged:
    """Commands or answers of one kind that a call moved.

    Attributes:
        command: The command, such as `get`; the answer, such as `VALUE`.
        count: Number of them.
        keys: Keys in them.
        key_size: Sizes of the smallest and the largest key, bytes.
        value_size: Sizes of the smallest and the largest value, bytes.
    """

    command: str
    count: int
    keys: int
    key_size: tuple[int, ...] | None = None
    value_size: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A system call, a signal or the end of a thread.

    Attributes:
        event: `call`, `unfinished` (a call that had not returned), `signal` or `exit`.
        call: Name of the call; None for the others.
        args: Arguments as strace prints them, without the bytes of buffers.
        result: Result of a call, a negated error number if it failed; exit code of a thread.
        error: Name of the error, such as `EAGAIN`.
        time_ns: Time at which it began, UTC; its return if that was not seen.
        duration_ns: Time that it took; None if its beginning was not seen.
        signal: The signal, with its origin.
        connection: Number of the connection, on a followed socket.
        commands: Commands or answers that the call moved, on a followed socket.
    """

    event: str
    call: str | None
    pid: int
    tid: int
    args: tuple[str, ...]
    result: int | None
    error: str | None
    time_ns: int
    duration_ns: int | None
    signal: str | None = None
    connection: int | None = None
    commands: tuple[Exchanged, ...] | None = None


@dataclass(frozen=True, slots=True)
class CallTotal:
    """Calls of one name: how many, how many failed, their time in all, and the longest, ns."""

    call: str
    calls: int
    errors: int
    time_ns: int
    longest_ns: int


@dataclass(frozen=True, slots=True)
class CallsLost:
    """Calls that are missing, by cause: see `CallTally`.

    Attributes:
        ring_full: The ring was full.
        unreturned: The kernel skipped the program at their return.
        malformed: Their record could not be read.
    """

    ring_full: int
    unreturned: int
    malformed: int

    @property
    def total(self) -> int:
        """The sum."""
        return self.ring_full + self.unreturned + self.malformed


@dataclass(frozen=True, slots=True)
class CallsSkipped:
    """Calls that were not asked for, by cause: see `CallTally`.

    Attributes:
        faster: Faster than asked for.
        other_outcome: Failed or succeeded, unlike what was asked for.
        other_descriptor: On other descriptors than sockets of the ports.
        compat: Made by 32-bit code.
        older: Older than what is kept.
    """

    faster: int
    other_outcome: int
    other_descriptor: int
    compat: int
    older: int

    @property
    def total(self) -> int:
        """The sum."""
        return self.faster + self.other_outcome + self.other_descriptor + self.compat + self.older


@dataclass(frozen=True, slots=True)
class CallTally:
    """Account of the calls that were made: `made` is the sum of shown, lost and skipped ones.

    Attributes:
        made: Calls that the processes made, of the kinds asked for.
        shown: Calls in the output.
        lost: Calls that are missing from it, by cause.
        skipped: Calls that were not asked for, by cause.
        unentered: Calls whose beginning was not seen, most of them in progress when it started.
        unfinished: Calls among those shown that had not returned at the end.
        runs_skipped: Runs of the programs that the kernel skipped, for whichever process.
        lost_aside: Signals and ends of threads that are missing.
        hooks: The way in which calls are seen: `tracepoints` or `functions`.
        cost_ns: Time by which every system call of other processes is longer.
    """

    made: int
    shown: int
    lost: CallsLost
    skipped: CallsSkipped
    unentered: int
    unfinished: int
    runs_skipped: int
    lost_aside: int
    hooks: str
    cost_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of the engine."""

    calls: str
    pids: list[int]
    ports: list[int]
    slower_than_s: float | None = None
    outcome: Outcome = "any"
    totals: bool = False
    descriptors: bool = False
    clock: bool = False
    utc_offset_s: int = 0
    times: bool = False
    json: bool = True
    last_s: float | None = None
    show_keys: bool = False
    timeline: bool = False
    hooks: Hooks | None = None
    ring_size: int = DEFAULT_RING_SIZE
    drop_privileges: bool = False


class Trace(Running):
    """A trace that runs until its `with` block is left. Iterating yields calls as they return."""

    def __init__(self, options: Options, duration_s: float | None = None) -> None:
        """Attach to the processes; use `membench.trace` instead."""
        self._native = _native.Tracer(options)
        self._end_s = None if duration_s is None else time.monotonic() + duration_s
        self._lines: deque[str] = deque()
        self._stopped = False

    def _end(self) -> None:
        self.stop()

    def __iter__(self) -> Iterator[Call]:
        """Yield calls until the processes end, the time is over, or it is stopped."""
        while True:
            while self._lines:
                yield from_json(Call, self._lines.popleft())
            if self._stopped:
                return
            self._lines.extend(self.next_text().splitlines())

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that are traced."""
        return tuple(self._native.pids)

    @property
    def is_over(self) -> bool:
        """True once it has been stopped, and everything was returned."""
        return self._stopped

    def next_text(self) -> str:
        """Wait for calls for a tenth of a second; return their lines, which may be none."""
        if self._stopped:
            return ""
        left = _TURN_S
        if self._end_s is not None:
            left = min(left, self._end_s - time.monotonic())
        text = self._native.next(max(left, 0.0))
        if self._native.is_ended or left <= 0:
            text += self._finish()
        return text

    def take_last(self) -> str:
        """Return the lines that `last_s` keeps, and forget them."""
        return self._native.take_last()

    def timeline(self) -> bytes:
        """Return the next bytes of the timeline for Perfetto."""
        return self._native.timeline()

    def stop(self) -> None:
        """Detach; what was not yielded yet stays to be."""
        if not self._stopped:
            self._lines.extend(self._finish().splitlines())

    def stop_text(self) -> str:
        """Detach; return the lines that are left."""
        return "" if self._stopped else self._finish()

    def _finish(self) -> str:
        text = self._native.stop()
        self._stopped = True
        return text

    def tally(self) -> CallTally:
        """Return what became of the calls so far; after the end, of all."""
        return from_json(CallTally, self._native.tally())

    def totals(self) -> tuple[CallTotal, ...]:
        """Return the totals of each call, the longest time first, if they were asked for."""
        return from_json(tuple[CallTotal, ...], self._native.totals())


def trace(  # noqa: PLR0913 - all but one are keyword-only options
    calls: str | None = None,
    *,
    pids: Sequence[int] = (),
    ports: Sequence[int] = (),
    duration_s: float | None = None,
    slower_than_s: float | None = None,
    outcome: Outcome = "any",
    descriptors: bool = False,
    totals: bool = False,
    hooks: Hooks | None = None,
    ring_size: int = DEFAULT_RING_SIZE,
    drop_privileges: bool = False,
) -> Trace:
    """Trace system calls of live processes, at a price that a server in production can bear.

    Calls are chosen in the kernel. Keys and values of memcached are never part of the result.

    Args:
        calls: Names and classes as strace has them, such as `read,sendmsg` or `%network`; by
            default all calls, or with `ports` those on sockets.
        pids: Processes to trace, with all their threads. Of a memcached, calls on sockets of the
            ports on which it listens carry their connection and commands.
        ports: Ports of memcached. Calls on other descriptors than their sockets are left out, and
            calls on these carry their connection and commands. Without `pids`, the processes that
            listen there are traced.
        duration_s: Seconds after which it ends; by default it ends with the processes.
        slower_than_s: Leave out calls that take less time, s.
        outcome: Calls to show: `any`, `succeeded` or `failed` ones.
        descriptors: Name descriptors in arguments: paths, and addresses of sockets.
        totals: Add calls up in the kernel instead of yielding each.
        hooks: The way in which calls are seen: `functions` (at most 24 calls, at no price to other
            calls and processes) or `tracepoints`; by default the first that works.
        ring_size: Bytes of the buffer between the kernel and this process.
        drop_privileges: Give up the capabilities of this process once attached, but for the one
            that `descriptors` takes; irreversible.

    Raises:
        UsageError: An argument is wrong; unknown calls come with the nearest names.
        CaptureUnavailableError: This machine or your permissions do not allow it; see `hint`.
    """
    options = make_options(
        calls,
        pids=pids,
        ports=ports,
        slower_than_s=slower_than_s,
        outcome=outcome,
        descriptors=descriptors,
        totals=totals,
        hooks=hooks,
        ring_size=ring_size,
        drop_privileges=drop_privileges,
    )
    if duration_s is not None:
        check.seconds("a duration", duration_s)
    return Trace(options, duration_s)


def make_options(
    calls: str | None, *, pids: Sequence[int], ports: Sequence[int], **given: object
) -> Options:
    """Check the options of a trace."""
    known = {field.name for field in fields(Options)}
    if unknown := given.keys() - known:
        raise UsageError(f"unknown options: {', '.join(sorted(unknown))}")
    listed = [
        check.whole("the number of a process", pid, 1, (1 << 31) - 1)
        for pid in check.several("pids", pids)
    ]
    for name in ("slower_than_s", "last_s"):
        if given.get(name) is not None:
            check.seconds("a time", given[name])
    for name in _FLAGS & given.keys():
        check.flag(name, given[name])
    check.one_of("outcomes", given.get("outcome", "any"), get_args(Outcome))
    if given.get("hooks") is not None:
        check.one_of("hooks", given["hooks"], get_args(Hooks))
    check.whole("a size in bytes", given.get("ring_size", 0), 0, (1 << 31) - 1)
    if not hasattr(_native, "Tracer"):
        raise UsageError("this build traces nothing: it has no eBPF", "install the released wheel")
    if calls is None:
        calls = SOCKET_CALLS if ports else ALL_CALLS
    check.text("calls", calls)
    return Options(calls=calls, pids=listed, ports=check.ports(ports), **given)  # type: ignore[arg-type]


def local_offset_s() -> int:
    """Return the local time minus UTC, s."""
    return time.localtime().tm_gmtoff
