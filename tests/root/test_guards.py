"""What keeps a recording harmless: each guard is provoked on a real memcached, and says so."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from support.cli import membench, recorder
from support.oracle import KnownKeyIds
from support.profile import events
from support.server import Memcached
from support.unique import UniqueTraffic, key_file, traffics
from support.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.memcached]

CONNECTIONS = 4
#: After so long without a sign of the recorder the programs only count.
SILENCE_S = 2.0


def kept(profile: Path, traffic: UniqueTraffic, keys: KnownKeyIds) -> bool:
    """Whether what the connection asks now is recorded."""
    traffic.pipeline(depth=1)
    seen = {row["key"] for row in events(profile)}
    return any(keys.id_of(done.key or b"") in seen for done in traffic.connection.log[-4:])


def test_a_stopped_recorder_is_not_fed_and_every_byte_is_counted(
    server: Memcached, tmp_path: Path
) -> None:
    path, keys = key_file(tmp_path)
    profile = tmp_path / "stopped.mb"
    traffic = traffics(server.port, CONNECTIONS)
    with recorder(profile, [server.port], "--no-stats", "--key-file", str(path)) as running:
        until(lambda: kept(profile, traffic[0], keys), "the first events")
        running.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        until(lambda: time.monotonic() - stopped > SILENCE_S + 0.5, "the silence")
        before = sum(one.connection.sent_bytes for one in traffic)
        for one in traffic:
            one.pipeline()
        unseen = sum(one.connection.sent_bytes for one in traffic) - before
        running.process.send_signal(signal.SIGCONT)
        until(lambda: kept(profile, traffic[0], keys), "events after the silence")
        running.stop().must(4)
    info = membench("info", profile, "--format", "json").must().json
    ledger = info["ledger"]
    sent, received = (
        sum(getattr(one.connection, name) for one in traffic)
        for name in ("sent_bytes", "received_bytes")
    )
    assert ledger["complete"] is False
    assert ledger["unattended"] > unseen
    assert ledger["missed"] == ledger["ring_full"] == 0
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (sent, received)
    for server_flows in ledger["servers"]:
        for flow in (server_flows["request"], server_flows["response"]):
            terms = set(flow) - {"seen", "missed"}
            assert flow["seen"] == sum(flow[term] for term in terms), flow
