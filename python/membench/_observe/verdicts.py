"""An interval's figures → the causes that stand out, by rules that docs/observe.md writes down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from membench._observe.results import (
    Account,
    Counted,
    Culprit,
    Host,
    ObservedServer,
    TcpEvents,
    Verdict,
    Worker,
)
from membench.report.numbers import percent

# Shares of the requests' time from which a part is worth a word.
_STANDS_OUT = 0.05
_QUEUE_STANDS_OUT = 0.10
_AHEAD_STANDS_OUT = 0.20
# Share of the workers' waits for a CPU from which throttling explains them.
_THROTTLED = 0.10
# Share of the CPUs' time from which steal explains waits.
_STOLEN = 0.02
# Share of the workers' waits of 2 µs and more above which what they waited for is their cause.
_MOST = 0.5
# A worker with this multiple of the mean of all has too many of the requests.
_UNEVEN = 1.5
# Rule that holds if no other does.
_NOTHING = "nothing"
# Retransmitted segments from which lost packets are worth a word: so many, and so many per request.
# A client that is slow to acknowledge has TCP probe with one.
_LEAST_RETRANSMITS = 3
_RETRANSMITS = 0.001


def judge(
    requests: Counted, host: Host, servers: frozenset[int] = frozenset()
) -> tuple[Verdict, ...]:
    """Return the causes that stand out, the largest share of the requests' time first.

    Args:
        requests: The interval.
        host: The machine's part in it.
        servers: Processes of the servers, numbered as on the host.
    """
    account = requests.account
    if not account.requests:
        return ()
    found = [
        *_sleeps(account),
        *_queue(requests, host, servers),
        *_ahead(account, requests.workers),
    ]
    found.sort(key=lambda verdict: -verdict.evidence["share"])
    return tuple(found) or (_quiet(account),)


def judge_tcp(
    servers: Sequence[ObservedServer], host: Host, events: TcpEvents | None, requests: int | None
) -> Iterator[Verdict]:
    """Yield what TCP makes clients wait for, which is in no request's time at the server.

    Args:
        servers: The servers.
        host: The machine's part.
        events: Rare events of TCP; None if they were not counted.
        requests: Requests that the servers answered; None if that is not known, so that the number
            of segments alone decides.
    """
    health = [server.tcp for server in servers if server.tcp is not None]
    overflows = host.tcp.get("ListenOverflows", 0)
    if overflows:
        evidence = {"overflows": float(overflows)}
        now = ""
        if health:
            fullest = max(health, key=lambda one: one.accept_queue)
            waiting, limit = fullest.accept_queue, fullest.accept_limit
            evidence |= {"waiting": float(waiting), "limit": float(limit)}
            now = f" (now {waiting:,} of {limit:,} wait here)"
        text = (
            f"an accept queue was full {overflows:,} times{now}"
            " → clients that connect wait 1 s and more; see `-b` and net.core.somaxconn"
        )
        yield Verdict(text, "accept-queue", evidence)
    amount = sum(one.retransmits for one in health) if events is None else events.retransmits
    if amount >= _LEAST_RETRANSMITS and (requests is None or amount >= requests * _RETRANSMITS):
        evidence = {"retransmits": float(amount)}
        among = ""
        if requests is not None:
            evidence["requests"] = float(requests)
            among = f", for {requests:,} requests"
        text = (
            f"{amount:,} segments were retransmitted{among} → packets are lost:"
            " clients wait for TCP's timers, not for memcached"
        )
        yield Verdict(text, "retransmits", evidence)


def with_tcp(judged: Iterable[Verdict], found: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Join verdicts on requests and on TCP. That nothing stands out is left out if TCP does."""
    tcp = tuple(found)
    return (*(one for one in judged if not tcp or one.rule != _NOTHING), *tcp)


def _quiet(account: Account) -> Verdict:
    largest = max(account.parts_ns, key=lambda part: account.parts_ns[part], default="memcached")
    share = account.share(largest)
    text = f"nothing stands out; the largest part is `{largest}`, {percent(share)} of the time"
    return Verdict(text, _NOTHING, {"share": share})


def _sleeps(account: Account) -> Iterator[Verdict]:
    """Judge parts that speak for themselves."""
    causes = {
        "stopped": "memcached was stopped, by a signal or a debugger",
        "lock": "a worker waited for a lock of memcached, which another of its threads held",
        "page_fault": "a worker waited for memory, and for no disk: pages that come and go",
        "disk": "a worker waited for a disk: swap, or a file that memcached maps",
        "kernel_wait": "a worker waited in the kernel for a lock, and for no disk",
        "parked": "memcached set requests aside: for its disk (extstore), or for slow readers",
        "unexplained": "a part of the time could not be told; see the misses",
    }
    for part, text in causes.items():
        share = account.share(part)
        if share >= _STANDS_OUT:
            yield Verdict(
                f"{text}: {percent(share)} of the time", part.replace("_", "-"), {"share": share}
            )


def _queue(requests: Counted, host: Host, servers: frozenset[int]) -> Iterator[Verdict]:
    """Judge waits for a CPU: by the own quota, by the host, or by others on this machine."""
    share = requests.account.share("run_queue_woken", "run_queue_preempted")
    if share < _QUEUE_STANDS_OUT:
        return
    waited = requests.waited_ns or 1
    evidence = {"share": share, "steal": host.steal}
    said = f"run-queue wait is {percent(share)} of the time"
    limits = f"steal {percent(host.steal)}, throttling unknown"
    if host.throttled_ns is not None:
        throttled = evidence["throttled"] = host.throttled_ns / waited
        limits = f"steal {percent(host.steal)}, throttled for {percent(throttled)} of the waits"
    if evidence.get("throttled", 0.0) >= _THROTTLED:
        text = f"{said}, and the server's CPU quota throttled it {host.periods_throttled} times"
        yield Verdict(f"{text} → its own limit", "own-quota", evidence)
        return
    if host.steal >= _STOLEN:
        text = f"{said}, and the host took {percent(host.steal)} of the CPUs' time → steal"
        yield Verdict(text, "steal", evidence)
        return
    yield _neighbours(f"{said}, {limits}", requests, servers, evidence)


def _neighbours(
    said: str, requests: Counted, servers: frozenset[int], evidence: dict[str, float]
) -> Verdict:
    """Name who had the CPU: neighbours, memcached itself, or nobody."""
    culprits = requests.culprits
    own = sum(culprit.share for culprit in culprits if culprit.process in servers)
    idle = sum(culprit.share for culprit in culprits if culprit.process == 0)
    shares: dict[str, float] = {}
    for culprit in culprits:
        if culprit.process and culprit.process not in servers:
            name = _place(culprit)
            shares[name] = shares.get(name, 0.0) + culprit.share
    others = sum(shares.values())
    evidence |= {"neighbours": others, "memcached": own, "idle": idle}
    brief = requests.waited_briefly_ns / max(requests.waited_ns, 1)
    if max(others, own, idle) <= _MOST * (1 - brief):
        text = (
            f"{said} → no one cause: neighbours had the CPU for {percent(others)} of the waits,"
            f" memcached's own threads for {percent(own)}, nobody for {percent(idle)}"
        )
        return Verdict(text, "mixed", evidence)
    if others >= max(own, idle):
        named = sorted(shares.items(), key=lambda item: -item[1])[:3]
        listed = ", ".join(f"{name} {percent(share)}" for name, share in named)
        text = f"{said} → neighbours had the CPU for {percent(others)} of the waits: {listed}"
        return Verdict(text, "neighbours", evidence)
    if own >= idle:
        text = f"{said} → memcached's own threads wait for each other: more threads than CPUs"
        return Verdict(text, "own-threads", evidence)
    text = f"{said} → the CPU was idle meanwhile: it came out of sleep, or the scheduler left it so"
    return Verdict(text, "idle-cpu", evidence)


def _place(culprit: Culprit) -> str:
    """Name a culprit by its thread and, if it is not the root's, its control group."""
    group = (culprit.cgroup or "/").rstrip("/")
    return f"{culprit.task} in {group}" if group else culprit.task


def _ahead(account: Account, workers: Sequence[Worker]) -> Iterator[Verdict]:
    """Judge waits behind other requests: of a worker with too many, or behind long ones."""
    share = account.share("ahead")
    if share < _AHEAD_STANDS_OUT:
        return
    busy = [worker for worker in workers if worker.requests]
    mean = account.requests / max(len(workers), 1)
    busiest = max(busy, key=lambda worker: worker.requests, default=None)
    uneven = busiest.requests / mean if busiest is not None and mean else 0.0
    evidence = {"share": share, "workers": float(len(workers)), "busiest": uneven}
    said = f"requests waited behind others of the same worker for {percent(share)} of the time"
    if busiest is not None and uneven >= _UNEVEN:
        text = f"{said} → {busiest.name} {busiest.thread} has {uneven:.1f} times its share"
        yield Verdict(text, "uneven-workers", evidence)
    else:
        yield Verdict(
            f"{said} → bursts, or long requests such as large multi-gets", "ahead", evidence
        )
