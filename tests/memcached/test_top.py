"""`top` on memcached's own log: it shows what the clients' log says."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest

import membench
from membench import UsageError
from support.cli import COMMAND, environment, membench as run
from support.process import started
from support.server import Memcached
from support.siphash import siphash
from support.terminal import terminal
from support.waiting import DEADLINE, until
from support.watched import KEY, Client

pytestmark = pytest.mark.memcached

SECRET = b"a-secret-key-of-mine"


def skewed(client: Client, operations: int = 3000) -> Counter[bytes]:
    """Use few keys very often and many rarely; return the number of uses of each."""
    chance = random.Random(4)
    for _ in range(operations):
        key = b"key-%d" % int(chance.paretovariate(0.7))
        if chance.random() < 0.2:
            client.set(key, b"v" * 50)
        else:
            client.get(key)
    return Counter(key for _, key, _ in client.log)


def counted(watched: membench.Top, operations: int) -> membench.Snapshot:
    """Count until all operations are seen; return one snapshot of them."""
    done = 0

    def all_counted() -> bool:
        nonlocal done
        watched.count(0.2)
        done = watched.status().events
        return done >= operations

    until(all_counted, "all operations counted")
    watched.count(0.3)
    return watched.take(1.0)


def test_hot_keys_equal_the_clients_log(roomy: Memcached, key_file: Path) -> None:
    client = Client(roomy)
    with membench.top(f"watch:{roomy.address}", key_file=key_file) as watched:
        used = skewed(client)
        snapshot = counted(watched, used.total())
    assert snapshot.events == used.total()
    assert snapshot.key_bound == 0
    ids = {siphash(KEY, key): times for key, times in used.items()}
    assert [key.count for key in snapshot.keys] == sorted(used.values(), reverse=True)[:20]
    for key in snapshot.keys:
        assert (key.count, key.error) == (ids[key.id], 0)
    assert {name: command.events for name, command in snapshot.commands.items()} == {
        "get": sum(command == "get" for command, _, _ in client.log),
        "set": sum(command == "set" for command, _, _ in client.log),
    }
    assert snapshot.commands["get"].bytes_out == sum(
        len(b"VALUE %s 0 %d\r\n" % (key, size)) + size + len(b"\r\n")
        for command, key, size in client.log
        if command == "get" and size is not None
    )
    assert [(one.client, one.count) for one in snapshot.clients] == [(0, used.total())]


def test_few_counters_keep_their_bound(roomy: Memcached, key_file: Path) -> None:
    client = Client(roomy)
    with membench.top(f"watch:{roomy.address}", key_file=key_file, keys=50, limit=50) as watched:
        used = skewed(client)
        snapshot = counted(watched, used.total())
    ids = {siphash(KEY, key): times for key, times in used.items()}
    assert len(ids) > 50
    assert 0 < snapshot.key_bound <= used.total() / 50
    listed = {key.id: key for key in snapshot.keys}
    for key in listed.values():
        assert key.count - key.error <= ids[key.id] <= key.count
        assert key.error <= snapshot.key_bound
    assert {identity for identity, times in ids.items() if times > snapshot.key_bound} <= set(
        listed
    )


def test_one_interval_as_json_has_no_key_in_it(roomy: Memcached) -> None:
    told = ""
    for interval in (2, 8, 32):  # longer if the machine was too busy for a request within it
        told = one_interval(roomy, f"{interval}s")
        if '"events": 1' in told:
            break
    assert '"events": 1' in told
    assert "secret" not in told


def one_interval(server: Memcached, interval: str, *options: str) -> str:
    """Return the output of `top` for an interval in which a secret key is stored once."""
    client = Client(server)
    command = [*COMMAND, "top", f"watch:{server.address}", "--once", "--format", "json"]

    # memcached keeps a watcher that has gone until it writes to it.
    before = server.watchers()
    with started(
        [*command, *options, "--interval", interval], stdout=subprocess.PIPE, env=environment()
    ) as process:
        until(lambda: server.watchers() - before, "the watcher")
        client.set(SECRET, b"value")
        stdout, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
    return str(stdout)


def test_keys_are_shown_on_a_terminal_only(roomy: Memcached) -> None:
    source = f"watch:{roomy.address}"
    for options in (["--show-keys"], ["--show-keys", "--once", "--format", "json"]):
        ended = run("top", source, *options).expect(2)
        assert "terminal only" in ended.stderr
    assert "--once" in run("top", source, "--format", "json").expect(2).stderr


def test_clients_have_addresses_only_if_asked_for_and_never_in_redirected_text(
    roomy: Memcached,
) -> None:
    source = f"watch:{roomy.address}"
    ended = run("top", source, "--show-clients", "--once").expect(2)
    assert "terminal only" in ended.stderr
    for options, address in ((["--show-clients"], "127.0.0.1"), ([], None)):
        told = {}
        for interval in (2, 8, 32):
            told = json.loads(one_interval(roomy, f"{interval}s", *options))
            if told["events"] == 1 and told["clients"]:
                break
        (client,) = told["clients"]
        assert client["address"] == address
        assert ("127.0.0.1" in json.dumps(told["clients"])) is bool(options)


def test_a_screen_shows_clients_by_address(roomy: Memcached) -> None:
    client = Client(roomy)
    source = ("top", f"watch:{roomy.address}", "--show-clients")
    with terminal(*source, streams=("stdin", "stdout"), columns=100) as shown:

        def shows(words: bytes) -> bool:
            client.set(SECRET, b"value")
            return words in shown.screen()

        until(lambda: shows(b"clients   127.0.0.1 "), "the address on the screen")
        assert SECRET not in shown.screen()
        shown.type(b"q")
        until(shown.ended, "the end")


def test_a_screen_shows_keys_sorts_and_ends(roomy: Memcached) -> None:
    client = Client(roomy)
    source = ("top", f"watch:{roomy.address}", "--show-keys")
    with terminal(*source, streams=("stdin", "stdout"), columns=80) as shown:

        def shows(words: bytes) -> bool:
            client.set(SECRET, b"value")
            return words in shown.screen()

        until(lambda: shows(SECRET), "the key on the screen")
        assert b"by operations" in shown.screen()
        shown.type(b"s")
        until(lambda: shows(b"by bytes"), "another order")
        shown.type(b"q")
        until(shown.ended, "the end")
        assert shown.process.returncode == 0
        assert "secret" not in shown.said("stderr")


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(UsageError):
        membench.top("watch:127.0.0.1:11211", interval_s=0)
    with pytest.raises(UsageError):
        membench.top("watch:127.0.0.1:11211", limit=10, keys=5)
