"""One traffic recorded from memcached's log and from its sockets: both agree."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from support.cli import recorder
from support.profile import events
from support.server import memcached
from support.watched import ROOM, Client, Watching

pytestmark = [pytest.mark.root, pytest.mark.memcached]


def test_log_and_sockets_give_the_same_keys_outcomes_and_sizes(tmp_path: Path) -> None:
    key_file = tmp_path / "ids.key"
    key_file.write_bytes(bytes(range(16)))
    key_file.chmod(0o600)
    shared = ("--key-file", str(key_file))
    chance = random.Random(11)
    with memcached(threads=2, arguments=ROOM) as server:
        clients = [Client(server) for _ in range(3)]
        with recorder(tmp_path / "sockets.mb", [server.port], *shared) as sockets:
            watching = Watching(server, tmp_path / "log.mb", *shared)
            for _ in range(1500):
                client = chance.choice(clients)
                key = f"schlüssel:{int(chance.paretovariate(1))}".encode()
                if chance.random() < 0.3:
                    client.set(key, b"v" * chance.randrange(3000))
                else:
                    client.get(key)
            logged = watching.stop().expect(0).json
            sockets.stop().expect(0)
        Client.close_all()
    assert logged["ledger"]["complete"]
    found = [
        Counter(
            tuple(row[column] for column in ("command", "key", "key_size", "outcome", "value_size"))
            for row in events(tmp_path / name)
            if row["command"] in {"get", "set"}
        )
        for name in ("sockets.mb", "log.mb")
    ]
    assert found[0] == found[1]
    assert found[0].total() == 1500
