"""Status lines and summaries of recordings as text."""

import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from membench._ledger import LOSSES, Ledger
from membench._reads import Reads
from membench._record import (
    Cost,
    Difference,
    Ended,
    Limits,
    Pace,
    Recording,
    ServerStatus,
    Status,
    Yielding,
)
from membench.report import record as report

STATUS = Status(
    state="recording",
    elapsed_s=17.2,
    events=3_100_000,
    requests=3_000_000,
    events_per_s=184_112.4,
    connections_open=300,
    user_queue_drops=0,
    bytes_written=22_000_000,
    lost_bytes=0,
    cpu_share=0.09,
    cpu_s=1.5,
    connections=329,
    servers=(ServerStatus("*:11211", 11211, 812, "1.6.18", 4, 312),),
    kind="sockets",
    hooks="sockets",
    kernel="6.12",
)
RECORDING = Recording(
    profile="production.mb",
    duration_s=60.0,
    events=11_046_720,
    requests=10_102_331,
    connections=329,
    open_at_start=312,
    silent_connections=0,
    commands={"get": 10_000_000, "set": 900_000, "delete": 48_000, "version": 98_720},
    outcomes={"hit": 9_240_000, "miss": 760_000, "stored": 900_000},
    reads=Reads(hits=9_240_000, misses=760_000),
    ledger=Ledger(complete=True, request_bytes=402_118_004, response_bytes=2_911_640_772),
    differences=(Difference(11211, "bytes_read", 402_118_004, 402_118_004),),
    cost=Cost(cpu_s=5.6, ns_per_event=510.0, bytes_written=76_000_000, bytes_per_event=6.9),
    ended=Ended("asked", "duration"),
)


def as_text(renderable: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_a_recording_without_any_connection_says_why() -> None:
    why = "no server was found: nothing listened on port 11299"
    text = as_text(report.render_recording(replace(RECORDING, why_empty=why)))
    assert f"empty     {why}" in text
    assert "complete" not in text
    assert "empty" not in as_text(report.render_recording(RECORDING))


def test_connections_that_carry_tls_are_named() -> None:
    ledger = replace(RECORDING.ledger, complete=False, unsynced=175_234, tls_connections=1)
    text = " ".join(as_text(report.render_recording(replace(RECORDING, ledger=ledger))).split())
    assert "TLS 1 connection carries TLS, which cannot be read" in text
    assert "notls" in text
    assert "TLS" not in as_text(report.render_recording(RECORDING))


def test_health_checks_are_counted_apart() -> None:
    text = as_text(report.render_recording(replace(RECORDING, silent_connections=17)))
    assert "from 312 connections (312 open at start; 17 more without a byte (health checks))" in (
        " ".join(text.split())
    )


def test_quiet_misses_are_in_the_hit_ratio() -> None:
    quiet = replace(RECORDING, outcomes={"hit": 3, "suppressed": 18}, reads=Reads(3, 18))
    assert "(14.3 % hits)" in as_text(report.render_recording(quiet))


def test_the_status_line_shows_rate_size_loss_and_own_cpu() -> None:
    assert report.render_status(STATUS).plain == (
        "  00:17  184,112 events/s   3.10 M events   21.0 MiB   lost 0   own CPU 9 %   Ctrl-C ends"
    )


def test_the_start_names_each_server_and_how_it_is_recorded() -> None:
    lines = as_text(report.render_start(STATUS, "bytes")).splitlines()
    assert lines[0] == (
        "recording  memcached 1.6.18 pid 812 *:11211, 4 threads, 312 connections open"
    )
    assert "sockets hooks, kernel 6.12, responses: bytes" in lines[1]


def test_the_start_message_names_the_guards() -> None:
    guarded = replace(
        STATUS,
        yielding=Yielding(10, 1000),
        limits=Limits(max_cpu=0.5, max_memory=1 << 30, max_written=10 << 30, min_free=10**9),
    )
    lines = as_text(report.render_start(guarded, "bytes")).splitlines()
    assert "nice 10, oom_score_adj 1000" in lines[2]
    assert (
        "ends by itself: over 50.0 % CPU, 1.00 GiB memory, 10.0 GiB written, under 954 MiB disk"
        in lines[3]
    )
    assert max(map(len, lines)) <= 100


def test_servers_that_were_not_asked_are_reported() -> None:
    assert "not asked" not in as_text(report.render_recording(RECORDING))
    for servers, words in ((1, "one server's own counters were"), (2, "2 servers' counters were")):
        text = as_text(report.render_recording(replace(RECORDING, uncompared=servers)))
        assert f"{words} not asked: in another network namespace, gone, or silent" in text


def test_servers_whose_counters_were_reset_are_told_apart() -> None:
    for servers, words in ((1, "one server set its counters to 0"), (2, "2 servers set their")):
        text = as_text(report.render_recording(replace(RECORDING, counters_reset=servers)))
        assert words in text


def test_a_recorder_that_falls_behind_says_so_while_it_runs_and_at_the_end() -> None:
    late = Pace(ring_fill=0.71, lag_s=1.24, late=3)
    line = report.render_status(replace(STATUS, pace=late)).plain
    assert line.endswith("own CPU 9 %   BEHIND 1.2 s ring 71 %")
    assert len(line) <= 100
    text = as_text(report.render_recording(replace(RECORDING, pace=late)))
    assert "ring at most 71.0 % full, emptied within 1.2 s   late 3 times" in text
    assert "late" not in as_text(report.render_recording(RECORDING))


def test_without_a_server_it_says_that_it_waits() -> None:
    waiting = replace(STATUS, servers=(), state="waiting")
    text = as_text(report.render_start(waiting, "none"))
    assert text.startswith("waiting    no listener found yet")


def test_of_clients_it_names_no_server() -> None:
    text = as_text(report.render_start(replace(STATUS, servers=()), "bytes"))
    assert text.startswith("recording  what applications on this machine send there")


def test_a_complete_recording_says_so_with_its_bytes_and_cost() -> None:
    text = as_text(report.render_recording(RECORDING))
    assert "production.mb   11,046,720 events in 60.0 s from 329 connections" in text
    assert "gets 10.0 M (92.4 % hits)   sets 900,000   deletes 48,000   other 98,720" in text
    assert "every byte accounted for: 402,118,004 requested, 2,911,640,772 answered" in text
    assert "memcached's own counters agree" in text
    assert "own CPU 5.60 s (510 ns an event)" in text
    assert "6.9 B an event" in text


def test_skipped_runs_of_other_sockets_leave_a_recording_complete() -> None:
    ledger = replace(RECORDING.ledger, runs_skipped=3_410, calls_recovered=3_002)
    text = " ".join(as_text(report.render_recording(replace(RECORDING, ledger=ledger))).split())
    assert "complete every byte accounted for" in text
    assert (
        "3,410 runs skipped on this machine, of which 0 bytes of this server;"
        " standby programs recorded 3,002 calls"
    ) in text


def test_a_counter_that_differs_is_shown_with_both_numbers() -> None:
    apart = (Difference(11211, "bytes_read", 402_119_000, 402_118_004),)
    text = as_text(report.render_recording(replace(RECORDING, differences=apart)))
    assert "port 11211 says bytes_read 402,119,000, recorded 402,118,004 (-996)" in text


@pytest.mark.parametrize("cause", LOSSES)
def test_every_cause_of_loss_is_shown_with_a_remedy(cause: str) -> None:
    ledger = replace(RECORDING.ledger, complete=False, **{cause: 31_204})
    text = as_text(report.render_recording(replace(RECORDING, ledger=ledger)))
    assert "incomplete" in text
    line = next(line for line in text.splitlines() if f" {cause} " in line)
    assert "30.5 KiB" in line or "31,204" in line
    assert "→" in text


def test_a_guard_that_ended_the_recording_is_named() -> None:
    guard = "disk guard: 1.43 MiB free, `min-free` is 1.91 MiB"
    guarded = replace(RECORDING, ended=Ended("guard", guard))
    assert guarded.guard == guard
    assert f"stopped   {guard}" in as_text(report.render_recording(guarded))
    for by in ("asked", "end_of_file", "source", "damage", "output"):
        assert replace(RECORDING, ended=Ended(by, guard)).guard is None


@pytest.mark.parametrize(
    ("by", "label"),
    [("asked", None), ("end_of_file", None), ("source", "stopped"), ("damage", "unread")],
)
def test_an_end_that_nobody_asked_for_is_shown(by: str, label: str | None) -> None:
    text = as_text(report.render_recording(replace(RECORDING, ended=Ended(by, "the reason"))))
    shown = next((line for line in text.splitlines() if "the reason" in line), None)
    assert (shown is None) if label is None else shown.split()[0] == label


def test_brackets_in_a_path_are_not_markup() -> None:
    text = as_text(report.render_recording(replace(RECORDING, profile="[red]x.mb")))
    assert "[red]x.mb" in text


@pytest.mark.parametrize(
    ("losses", "share"),
    [({}, 0.0), ({"ring_full": 10}, 0.01), ({"missed": 1000}, 0.5), ({"unpaired": 25}, 0.25)],
)
def test_the_share_lost_is_of_bytes_or_of_requests(losses: dict[str, int], share: float) -> None:
    ledger = Ledger(complete=not losses, request_bytes=400, response_bytes=600, **losses)
    assert ledger.loss_share(requests=100) == pytest.approx(share)


LOGGED = replace(
    RECORDING,
    events=7_711,
    requests=7_711,
    reads=Reads(hits=9_240_000, misses=760_000),
    ledger=Ledger(complete=True, request_bytes=0, response_bytes=0, log_lines=9_235),
    differences=(
        Difference(11211, "look-ups", 6_187, 6_187),
        Difference(11211, "cmd_set", 1_524, 1_524),
        Difference(11211, "cmd_get", 6_000, 6_187),
    ),
)


def test_a_recording_from_a_log_counts_lines_and_says_what_is_not_known() -> None:
    text = " ".join(as_text(report.render_recording(LOGGED)).split())
    assert "every line accounted for: 9,235 lines of memcached's log; lost 0" in text
    assert "own counters agree (look-ups, cmd_set)" in text
    assert "says cmd_get 6,000, recorded 6,187 (+187)" in text
    assert "all count as `get`" in text


def test_lines_that_were_lost_are_a_share_of_all_lines() -> None:
    ledger = replace(LOGGED.ledger, complete=False, log_dropped=500, log_skipped=500)
    text = " ".join(as_text(report.render_recording(replace(LOGGED, ledger=ledger))).split())
    assert "9.8 % may be missing of 9,235 lines" in text
    assert "worker_logbuf_size" in text


@pytest.mark.parametrize(
    ("kind", "hooks", "shown"),
    [
        ("sockets", "syscalls", "syscalls hooks, kernel 6.12, responses: bytes"),
        ("interface", "tcx", "packets of ebpf:eth0 by tcx, kernel 6.12"),
        ("libpcap", None, "packets of ebpf:eth0;"),
        ("file", None, "packets of ebpf:eth0;"),
        ("log", None, "memcached's own log"),
    ],
)
def test_the_start_names_the_way_of_recording(kind: str, hooks: str | None, shown: str) -> None:
    status = replace(STATUS, kind=kind, hooks=hooks, source="ebpf:eth0", servers=())
    text = as_text(report.render_start(status, "bytes"))
    assert shown in text
    assert text.startswith("recording" if kind == "sockets" else "reading")


def test_the_start_of_a_recording_from_a_log_says_so() -> None:
    text = as_text(report.render_start(replace(STATUS, kind="watch", hooks=None), "bytes"))
    assert "memcached's own log" in text
    assert "responses" not in text
    status = report.render_status(replace(STATUS, lost_lines=31))
    assert "lost 31 lines" in status.plain


def test_the_status_names_lost_packets_beside_lost_bytes() -> None:
    status = report.render_status(replace(STATUS, lost_bytes=2_000, lost_packets=31))
    assert "lost 1.95 KiB, 31 packets" in status.plain
