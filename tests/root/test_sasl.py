"""A memcached with SASL (`-S`): authenticated clients are recorded, their secrets are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.cli import read_ledger, recorder
from support.profile import by_connection, events
from support.sasl import SECRET, USER, Peer, guarded
from support.server import Memcached

pytestmark = [pytest.mark.root, pytest.mark.memcached]

TOLD, REFUSED = 0, 0x20
PLAIN = b"PLAIN"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Memcached]:
    """Start a memcached that requires SASL and has one user."""
    folder = tmp_path / "sasl"
    folder.mkdir()
    with ExitStack() as stack:
        try:
            running = stack.enter_context(guarded(folder))
        except OSError as error:
            pytest.skip(f"no SASL here: {error}")
        yield running


def talk(port: int) -> tuple[Peer, Peer]:
    """Run an authenticated client, and one that is refused twice."""
    with Peer(port) as known, Peer(port) as unknown:
        assert known.ask("sasl_list") == PLAIN
        known.ask("sasl_auth", PLAIN, b"\0" + USER + b"\0" + SECRET)
        known.ask("set", b"key", b"value", bytes(8))
        assert known.ask("get", b"key")[4:] == b"value"
        unknown.ask("sasl_auth", PLAIN, b"\0" + USER + b"\0not-" + SECRET)
        unknown.ask("get", b"another-key")
        assert unknown.is_closed()
    assert (known.statuses, unknown.statuses) == ([TOLD] * 4, [REFUSED] * 2)
    return known, unknown


def test_authenticated_clients_are_recorded_and_secrets_are_not(
    server: Memcached, output: Path
) -> None:
    with recorder(output, [server.port], "--no-stats") as running:
        peers = talk(server.port)
        running.stop().expect(0)
    told = [
        [(row["command"], row["outcome"]) for row in rows]
        for rows in by_connection(events(output)).values()
    ]
    assert told == [
        [("other", "ok"), ("other", "ok"), ("set", "stored"), ("get", "hit")],
        [("other", "client_error"), ("get", "client_error")],
    ]
    ledger = read_ledger(output)
    assert (ledger["request_bytes"], ledger["response_bytes"], ledger["boundary"]) == (
        sum(peer.sent for peer in peers),
        sum(peer.received for peer in peers),
        0,
    )
    kept = b"".join(file.read_bytes() for file in output.iterdir())
    assert SECRET not in kept
    assert USER not in kept


def test_a_server_that_does_not_answer_the_recorder_is_still_recorded(
    server: Memcached, output: Path
) -> None:
    with recorder(output, [server.port]) as running:
        talk(server.port)
        recording = running.stop().expect(0).json
    assert recording["ledger"]["complete"] is True
    assert (recording["events"], recording["differences"]) == (6, [])
