"""A recorder that falls behind: its status line, and its summary."""

from __future__ import annotations

import re
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from support import proc
from support.cli import read_info
from support.server import Memcached
from support.terminal import Terminal, terminal
from support.unique import UniqueTraffic, traffics
from support.waiting import PATIENCE, let_pass, until

pytestmark = [pytest.mark.root, pytest.mark.memcached]

#: Duration of a stop, s: records count as late at 1 s, the programs give up after 2 s.
HELD_S = 1.2


def fell_behind(shown: Terminal, traffic: UniqueTraffic) -> bool:
    """Stop the recorder during traffic; return true if it then says that it is behind.

    It does not if the traffic came too late to be read a second old.
    """
    proc.stop(shown.process.pid)
    traffic.pipeline()
    let_pass(HELD_S)
    shown.process.send_signal(signal.SIGCONT)
    with suppress(AssertionError):
        return until(lambda: b"BEHIND" in shown.screen(), "the warning", 5 * PATIENCE)
    return False


def test_a_recorder_that_looks_late_says_so_at_once_and_in_the_end(
    server: Memcached, output: Path
) -> None:
    (one,) = traffics(server.port, 1)
    options = ("--port", str(server.port), "--no-stats", "--nice", "0")
    with terminal("record", "ebpf:any", output, *options, streams=("stdin", "stderr")) as shown:
        until(lambda: b"Ctrl-C ends" in shown.screen(), "the status line")
        one.pipeline()
        assert b"BEHIND" not in shown.screen()
        until(lambda: fell_behind(shown, one), "the warning that it is behind")
        shown.process.send_signal(signal.SIGINT)
        until(shown.ended, "the end")
        summary = shown.said("stdout")
    said = re.search(r"emptied within ([0-9.]+) s   late ([0-9]+) times? → --ring-size", summary)
    assert said is not None, summary
    assert float(said[1]) >= 1
    assert int(said[2]) >= 1
    told = read_info(output)
    if told["ledger"]["complete"]:
        assert told["events"] == len(one.connection.log)
    else:
        assert told["ledger"]["unattended"] > 0, "it was held for longer than it was meant to be"
