"""`top`: hot keys, bytes and server times equal the client's log, for each source."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from support.cli import COMMAND, environment
from support.process import started
from support.server import Memcached
from support.siphash import siphash
from support.waiting import DEADLINE
from support.watched import Client

pytestmark = [pytest.mark.root, pytest.mark.memcached]

KEY = bytes(range(16))

PROGRAM = """
import json, sys, membench
with membench.top(sys.argv[4], ports=[int(sys.argv[1])], key_file=sys.argv[2], keys=64, limit=64,
                  drop_privileges=True, show_keys=True) as watched:
    print("ready", flush=True)
    while watched.status().events < int(sys.argv[3]):
        watched.count(0.1)
    watched.count(0.3)
    snapshot = watched.take(1.0)
    hottest = snapshot.keys[0]
    print(json.dumps([
        snapshot.events, snapshot.key_bound, dict(snapshot.lost),
        [[key.id, key.count, key.error] for key in snapshot.keys],
        {name: [one.events, one.bytes_in, one.server_time_p50_ns, one.server_time_p99_ns,
                one.bytes_out]
         for name, one in snapshot.commands.items()},
        watched.name(hottest.id).decode(), [one.client for one in snapshot.clients],
    ]))
"""


@pytest.mark.parametrize("source", ["ebpf:any", "ebpf:lo"])
def test_hot_keys_equal_the_clients_log_within_the_bound(
    server: Memcached, tmp_path: Path, source: str
) -> None:
    key_file = tmp_path / "ids.key"
    key_file.write_bytes(KEY)
    key_file.chmod(0o600)
    chance, operations = random.Random(8), 4000
    arguments = [str(server.port), str(key_file), str(operations), source]
    client = Client(server)
    with started(
        [COMMAND[0], "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        for _ in range(operations):
            key = b"key-%d" % int(chance.paretovariate(0.6))
            if chance.random() < 0.2:
                client.set(key, b"v" * 30)
            else:
                client.get(key)
        stdout, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
    client.close()
    events, bound, lost, keys, commands, hottest, clients = json.loads(stdout)
    used = Counter(key for _, key, _ in client.log)
    ids = {siphash(KEY, key): times for key, times in used.items()}
    assert (events, lost, clients) == (operations, {}, [0])
    assert 0 < bound <= operations / 64
    for identity, count, error in keys:
        assert count - error <= ids[identity] <= count
        assert error <= bound
    assert {one for one, times in ids.items() if times > bound} <= {key[0] for key in keys}
    assert hottest.encode() == used.most_common(1)[0][0]
    sent = sum(len(b"get %s\r\n" % key) for command, key, _ in client.log if command == "get")
    assert commands["get"][:2] == [sum(one[0] == "get" for one in client.log), sent]
    assert 0 < commands["get"][2] <= commands["get"][3]
    answers = {"get": 0, "set": 0}
    for command, key, size in client.log:
        value = b"" if size is None else b"VALUE %s 0 %d\r\n%s\r\n" % (key, size, bytes(size))
        answers[command] += len(b"STORED\r\n" if command == "set" else value + b"END\r\n")
    assert {name: one[4] for name, one in commands.items()} == answers
