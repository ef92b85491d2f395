"""The account of a trace's calls, and totals as `strace -c` prints them → text."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membench._trace import CallTally, CallTotal

_CAUSES = {
    "ring_full": "did not fit into the ring (--ring-size makes it larger)",
    "unreturned": "ended in a run that the kernel skipped",
    "malformed": "could not be read",
    "faster": "faster than --slower-than",
    "other_outcome": "with the other outcome",
    "other_descriptor": "on other descriptors than the ports' sockets",
    "compat": "made by 32-bit code",
    "older": "older than what --last keeps",
}


def render_cost(tally: CallTally) -> str:
    """Say what the hooks cost everybody else."""
    if tally.hooks == "functions":
        return "hooks at the traced calls only: other calls and other processes pay nothing"
    return (
        "hooks at every system call of this machine, each of which takes about"
        f" {tally.cost_ns:.0f} ns longer"
    )


def render_tally(tally: CallTally) -> str:
    """Say what became of all calls, the sum first."""
    lines = [
        f"{tally.made:,} calls made = {tally.shown:,} shown + {tally.lost.total:,} lost"
        f" + {tally.skipped.total:,} skipped"
    ]
    rows = [
        *((amount, f"lost: {_CAUSES[cause]}") for cause, amount in asdict(tally.lost).items()),
        *(
            (amount, f"skipped: {_CAUSES[cause]}")
            for cause, amount in asdict(tally.skipped).items()
        ),
        (tally.unfinished, "shown without a result: they had not returned"),
        (tally.unentered, "without a time: they began before the trace did"),
        (tally.lost_aside, "signals or ends of threads lost: they did not fit into the ring"),
        (
            tally.runs_skipped,
            "runs of the programs skipped by the kernel, for any process: up to as many calls of"
            " this one may be missing besides",
        ),
    ]
    lines += [f"  {amount:>9,}  {text}" for amount, text in rows if amount]
    return "\n".join(lines)


def _causes(term: str, amounts: dict[str, int]) -> list[tuple[int, str]]:
    return [(amount, f"{term}: {_CAUSES[cause]}") for cause, amount in amounts.items()]


def render_totals(totals: Sequence[CallTotal]) -> str:
    """Print totals as `strace -c` does, with the longest call beside them."""
    whole = sum(total.time_ns for total in totals)
    ruler = "------ ----------- ----------- ----------- --------- --------- ----------------"
    lines = [
        "% time     seconds  usecs/call     longest     calls    errors syscall",
        ruler,
    ]
    for total in totals:
        share = 100 * total.time_ns / whole if whole else 0.0
        errors = f"{total.errors}" if total.errors else ""
        lines.append(
            f"{share:6.2f} {total.time_ns / 1e9:11.6f} {total.time_ns / total.calls / 1e3:11.2f}"
            f" {total.longest_ns / 1e3:11.1f} {total.calls:9d} {errors:>9} {total.call}"
        )
    calls, failed = sum(t.calls for t in totals), sum(t.errors for t in totals)
    mean = whole / calls / 1e3 if calls else 0.0
    longest = max((total.longest_ns for total in totals), default=0)
    lines += [
        ruler,
        f"100.00 {whole / 1e9:11.6f} {mean:11.2f} {longest / 1e3:11.1f} {calls:9d}"
        f" {failed or '':>9} total",
    ]
    return "\n".join(lines)
