"""Summaries of profiles as text."""

import io
from dataclasses import replace

from rich.console import Console

import membench
from membench._ledger import Ledger
from membench._profile import Anchor, Summary, Verification
from membench.report.info import render_summary

LEDGER = Ledger(complete=True, request_bytes=4000, response_bytes=90_000, boundary=12)
INFO = Summary(
    schema_version=1,
    membench="0.1.0",
    state="sealed",
    repaired=False,
    source="ebpf:any",
    hooks="sockets",
    kernel="6.12.107",
    responses="bytes",
    time_basis="read",
    sampling=1.0,
    key_fingerprint="f70f94f7784f4305",
    anchor=Anchor(1, 1_795_269_720_000_000_000),
    duration_s=60.0,
    stopped_by="duration",
    write_error=None,
    events=1000,
    requests=900,
    connections=8,
    commands={"get": 900, "set": 100},
    outcomes={"hit": 850, "miss": 50, "stored": 100},
    parts=1,
    bytes=6900,
    unsealed_events=0,
    cut_bytes=0,
    ledger=LEDGER,
)


def as_text(info: Summary) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(render_summary("[x].mb", info))
    return captured.get()


def test_a_sealed_profile_shows_counts_source_and_completeness() -> None:
    text = as_text(INFO)
    assert text.startswith("[x].mb   60.0 s   1,000 events   sealed")
    assert "ebpf:any, sockets, kernel 6.12.107, responses bytes" in text
    assert "get 900 (90.0 %)   set 100 (10.0 %)" in text
    assert "yes, lost 0: bytes 4,000 requested, 90,000 answered; 12 at the edges" in text
    assert "6.74 KiB (6.9 B an event)" in text


def test_a_killed_profile_says_what_is_known_and_not_that_it_is_zero() -> None:
    killed = replace(
        INFO,
        state="recording",
        ledger=None,
        sampled_out=None,
        sample=membench.Sample(keys=10),
        stopped_by=None,
        unsealed_events=40,
        cut_bytes=7,
    )
    text = " ".join(as_text(killed).split())
    assert "at least 60.0 s 1,000 events NOT sealed: its recorder was killed" in text
    assert "900 on at least 8 connections" in text
    assert "an unknown number of events left out" in text
    assert "unknown: the recorder counts what was lost when it ends" in text
    assert "requested" not in text
    assert "its recorder was killed; `membench repair` seals what it left" in text
    assert "1 part, " in text
    assert "40 events unsealed, 7 B cut off" in text
    text = " ".join(as_text(replace(killed, state="sealed", repaired=True)).split())
    assert "sealed by `repair`" in text
    assert "at least 60.0 s" in text
    assert "`membench repair`" not in text


def test_a_profile_that_is_being_recorded_says_so() -> None:
    text = as_text(
        replace(INFO, state="recording", ledger=None, stopped_by=None, being_recorded=True)
    )
    assert "being recorded" in text
    assert "killed" not in text
    assert "repair" not in text


def test_a_verified_profile_names_every_damaged_file() -> None:
    found = Verification(5, 6900, ("losses.parquet",), ("one: changed", "other: changed"))
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(render_summary("x.mb", INFO, found))
    text = captured.get()
    assert "5 files as written, 6.74 KiB" in text
    assert "without a checksum: losses.parquet" in text
    assert "one: changed" in text
    assert "other: changed" in text
    assert "verified" not in as_text(INFO)


def test_losses_are_listed_by_cause() -> None:
    text = as_text(replace(INFO, ledger=replace(LEDGER, complete=False, ring_full=9400)))
    assert "NO, 10.0 % may be missing" in text
    assert "ring_full" in text
    assert "9.18 KiB" in text


def test_a_write_error_is_shown() -> None:
    text = as_text(replace(INFO, stopped_by="write error", write_error="no space left"))
    assert "writing failed: no space left" in text
