"""Recordings of memcached's own log: they equal the clients' log, or losses are counted."""

from __future__ import annotations

import random
import socket
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest

import membench as membench_library
from membench._options import GIB
from support.cli import COMMAND, environment, membench, read_info
from support.ports import free_port
from support.process import started
from support.profile import events, table, texts
from support.server import Memcached, StatsConnection, memcached
from support.siphash import siphash
from support.waiting import DEADLINE, until
from support.watched import KEY, Client, Watching

pytestmark = pytest.mark.memcached

LOST, ENVIRONMENT = 4, 5
#: Requests sent at once: their log lines need twice the size of memcached's default buffer.
BURST = 2000


def traffic(client: Client, seed: int, steps: int = 600) -> None:
    """Read and store few keys, some with odd characters."""
    chance = random.Random(seed)
    names = [f"kéy,{number}%".encode() for number in range(40)] + [b"k" * 250]
    for _ in range(steps):
        key = chance.choice(names)
        if chance.random() < 0.3:
            client.set(key, b"v" * chance.choice((0, 1, 300, 9000, 70_000)))
        else:
            client.get(key)


def test_events_equal_the_clients_log_and_the_servers_counters(
    roomy: Memcached, output: Path, key_file: Path
) -> None:
    clients = [Client(roomy) for _ in range(3)]
    watching = Watching(roomy, output, "--key-file", str(key_file))
    for seed, client in enumerate(clients):
        traffic(client, seed)
    late = Client(roomy)
    traffic(late, 9, 50)
    late.close()
    recording = watching.stop().expect(0).json

    wanted = Counter(
        (command, siphash(KEY, key), len(key), size)
        for client in [*clients, late]
        for command, key, size in client.log
    )
    rows = events(output)
    found = Counter(
        (row["command"], row["key"], row["key_size"], row["value_size"]) for row in rows
    )
    assert found == wanted
    for row in rows:
        hit = "miss" if row["value_size"] is None else "hit"
        assert row["outcome"] == ("stored" if row["command"] == "set" else hit)
        assert row["request_size"] is row["server_time"] is row["flags"] is None
    assert recording["ledger"]["complete"]
    differences = {one["counter"]: one for one in recording["differences"]}
    assert set(differences) == {"look-ups", "cmd_set"}
    for one in differences.values():
        assert one["server"] == one["recorded"], differences
    used = {row["connection"] for row in rows}
    connections = [row for row in table(output, "connections") if row["connection"] in used]
    assert sorted(row["opened"] is None for row in connections) == [False, True, True, True]
    assert sum(row["close_side"] == "client" for row in connections) == 1
    assert {row["client"] for row in connections} == {0}


def test_a_live_log_ends_when_its_duration_is_over(roomy: Memcached, output: Path) -> None:
    client = Client(roomy)
    watching = Watching(roomy, output, "--duration", "2s")
    done = threading.Event()

    def use() -> None:
        while not done.is_set():
            client.get(b"key")

    user = threading.Thread(target=use)
    user.start()
    try:
        watching.wait()
    finally:
        done.set()
        user.join()
    info = read_info(output)
    begun = info["anchor"]["utc_ns"] / 1e9
    times = [row["time"].timestamp() for row in events(output)]
    assert info["duration_s"] >= 2
    assert begun <= min(times) + 1e-6
    # Lines that come after the end, for a second, are not of the recording.
    assert max(times) <= begun + info["duration_s"] + 1e-6


def test_each_connections_requests_are_in_the_order_it_made_them(
    roomy: Memcached, output: Path, key_file: Path
) -> None:
    client, other = Client(roomy), Client(roomy)
    watching = Watching(roomy, output, "--key-file", str(key_file))
    for seed in range(20):
        traffic(client, seed, 20)
        other.set(b"other", b"value")
    watching.stop().expect(0)
    ids = {siphash(KEY, key): key for _, key, _ in client.log}
    mine = sorted(
        (row for row in events(output) if row["key"] in ids),
        key=lambda row: (row["connection"], row["request"]),
    )
    told = [(row["command"], ids[row["key"]], row["value_size"]) for row in mine]
    assert told == client.log
    assert [row["time"] for row in mine] == sorted(row["time"] for row in mine)


def test_lines_that_memcached_dropped_are_counted_to_the_line(
    server: Memcached, output: Path
) -> None:
    """Overflow memcached's default buffers, which hold some hundred lines."""
    client = Client(server)
    client.set(b"key", b"value")
    asking = StatsConnection(server.port)  # opened before: the log would show the connection
    watching = Watching(server, output)
    before = asking.ask()
    bursts = 0

    def burst() -> bool:
        nonlocal bursts
        client.say(b"get key\r\n" * BURST)
        for _ in range(3 * BURST):
            client.line()
        bursts += 1
        return asking.ask()["log_worker_dropped"] != "0"

    until(burst, "a line that memcached drops")
    ended = watching.stop().expect(LOST)
    after = asking.ask()
    asking.close()
    ledger = ended.json["ledger"]
    lookups = int(after["cmd_get"]) - int(before["cmd_get"])
    lost = ledger["log_dropped"] + ledger["log_skipped"]
    assert lost > 0
    recorded = [row for row in events(output) if row["command"] == "get"]
    assert lookups == bursts * BURST == len(recorded) + lost
    assert ledger["complete"] is False
    assert ledger["log_dropped"] == int(after["log_worker_dropped"])


def test_deletes_and_counters_are_recorded_as_look_ups_and_reported(
    roomy: Memcached, output: Path
) -> None:
    client = Client(roomy)
    client.set(b"n", b"5")
    watching = Watching(roomy, output)
    for request in (b"incr n 1", b"decr n 2", b"touch n 100", b"get n", b"delete n", b"delete n"):
        client.say(request + b"\r\n")
        while not client.line().startswith((b"END", b"DEL", b"NOT", b"TOU", b"4", b"6")):
            pass
    recording = watching.stop().expect(0).json
    deleted = recording["commands"].get("delete", 0)  # logged as deletes since memcached 1.6.32
    assert recording["commands"].get("get", 0) + deleted == 6
    counters = {
        one["counter"]: (one["server"], one["recorded"]) for one in recording["differences"]
    }
    assert counters["look-ups"] == (6, 6)
    assert counters["cmd_get"] == (1, 6)
    told = membench("info", output).expect(0).stdout
    assert "memcached's own log" in told
    assert "not known" in told


def test_no_key_reaches_the_disk(roomy: Memcached, output: Path) -> None:
    client = Client(roomy)
    watching = Watching(roomy, output, "-vv")
    client.set(b"a-secret-key-of-mine", b"a-secret-value-of-mine")
    client.get(b"a-secret-key-of-mine")
    ended = watching.stop().expect(0)
    told = texts(output) + ended.stdout.encode() + ended.stderr.encode()
    for secret in (b"a-secret", b"key-of-mine", b"value-of-mine"):
        assert secret not in told


def test_a_stored_log_gives_what_recording_it_live_would(
    roomy: Memcached, tmp_path: Path, key_file: Path
) -> None:
    stored = tmp_path / "stored watch"
    with socket.create_connection(("127.0.0.1", roomy.port), timeout=DEADLINE) as watcher:
        watcher.sendall(b"watch fetchers mutations connevents\r\n")
        log = watcher.recv(4)
        assert log == b"OK\r\n"
        client = Client(roomy)
        traffic(client, 3, 300)
        while log.count(b" cmd=set ") < sum(one[0] == "set" for one in client.log) or not (
            log.endswith(b"\n") and log.count(b"item_get") >= len(client.log)
        ):
            log += watcher.recv(1 << 20)
    stored.write_bytes(log)
    wanted = Counter((command, siphash(KEY, key), size) for command, key, size in client.log)
    options = ("--key-file", str(key_file), "--format", "json")
    recording = membench("record", stored, tmp_path / "file.mb", *options).expect(0).json
    assert recording["ended"] == {"by": "end_of_file", "reason": "end of file"}
    assert recording["ledger"]["complete"]
    piped = subprocess.run(
        [*COMMAND, "record", "-", str(tmp_path / "pipe.mb"), *options],
        input=log,
        capture_output=True,
        env=environment(),
        timeout=DEADLINE,
        check=True,
    )
    assert piped.returncode == 0
    for name in ("file.mb", "pipe.mb"):
        rows = events(tmp_path / name)
        assert Counter((row["command"], row["key"], row["value_size"]) for row in rows) == wanted


def flow_of_events(profiles: list[Path]) -> Counter[tuple[str, int, int | None]]:
    return Counter(
        (row["command"], row["key"], row["value_size"]) for one in profiles for row in events(one)
    )


def wanted_of(clients: list[Client]) -> Counter[tuple[str, int, int | None]]:
    return Counter(
        (command, siphash(KEY, key), size) for one in clients for command, key, size in one.log
    )


@pytest.mark.parametrize("rotate", ["700ms", "96K"])
def test_the_profiles_of_a_rotated_log_hold_everything_once(
    roomy: Memcached, tmp_path: Path, key_file: Path, rotate: str
) -> None:
    clients = [Client(roomy) for _ in range(3)]
    options = ("--rotate", rotate, "--key-file", str(key_file))
    watching = Watching(roomy, tmp_path / "whole.mb", *options)
    third = tmp_path / "whole-000003.mb"

    def is_third_there() -> bool:
        for seed, client in enumerate(clients):
            traffic(client, seed, 100)
        return third.exists()

    until(is_third_there, "the third profile", 60)
    recording = watching.stop().expect(0).json
    profiles = [Path(name) for name in recording["profiles"]]
    assert profiles[0].name == "whole-000001.mb"
    assert sorted(tmp_path.glob("whole*.mb")) == profiles
    assert flow_of_events(profiles) == wanted_of(clients)
    infos = [read_info(one) for one in profiles]
    assert {(one["state"], one["ledger"]["complete"]) for one in infos} == {("sealed", True)}
    assert [one["stopped_by"] for one in infos] == ["rotate"] * (len(infos) - 1) + ["SIGTERM"]
    assert sum(one["ledger"]["log_lines"] for one in infos) == recording["ledger"]["log_lines"]
    assert sum(one["duration_s"] for one in infos) == pytest.approx(
        recording["duration_s"], abs=0.1
    )
    for one in recording["differences"]:
        assert one["server"] == one["recorded"], recording["differences"]


@pytest.mark.parametrize(
    "options", [("--sample", "1/4"), ("--sample-connections", "1/2")], ids=["keys", "connections"]
)
def test_a_sampled_log_leaves_out_whole_keys_or_connections_and_counts_them(
    roomy: Memcached, output: Path, key_file: Path, options: tuple[str, str]
) -> None:
    clients = [Client(roomy) for _ in range(12)]
    watching = Watching(roomy, output, "--key-file", str(key_file), *options)
    for seed, client in enumerate(clients):
        traffic(client, seed, 100)
    recording = watching.stop().expect(0).json
    rows = events(output)
    all_of_them = sum(len(client.log) for client in clients)
    assert recording["events"] == len(rows)
    assert 0 < len(rows) < all_of_them
    assert recording["events"] + recording["sampled_out"] == all_of_them
    assert recording["ledger"]["complete"]
    info = read_info(output)
    assert info["sampled_out"] == recording["sampled_out"]
    listed = {row["connection"] for row in table(output, "connections")}
    assert {row["connection"] for row in rows} <= listed
    if options[0] == "--sample":
        kept = {row["key"] for row in rows}
        wanted = wanted_of(clients)
        assert flow_of_events([output]) == Counter(
            {seen: times for seen, times in wanted.items() if seen[1] in kept}
        )
        for one in recording["differences"]:
            assert one["server"] == one["recorded"], recording["differences"]
    else:
        whole = sorted(len(client.log) for client in clients)
        of_connection = Counter(row["connection"] for row in rows)
        assert set(of_connection.values()) <= set(whole)
        assert 0 < len(of_connection) < len(clients)
        assert recording["differences"] == []


def test_a_size_that_was_asked_for_replaces_the_guard_on_it(roomy: Memcached, output: Path) -> None:
    guards = membench_library.Guards(max_written=1, min_free=None)
    source = f"watch:{roomy.address}"
    with membench_library.record(source, output, max_size=20 * GIB, guards=guards) as capture:
        assert capture.status().limits.max_written is None
        traffic(Client(roomy), 1, 400)
        until(lambda: capture.status().events >= 400, "events")
        assert not capture.wait(1.0)
    assert capture.result.ended.by == "asked"
    guarded = membench_library.record(source, output, guards=guards, force=True)
    assert guarded.wait(30)
    assert guarded.result.guard is not None
    assert guarded.result.guard.startswith("size guard: ")


def test_a_recorded_log_can_be_analyzed_and_replayed(roomy: Memcached, output: Path) -> None:
    client = Client(roomy)
    watching = Watching(roomy, output)
    traffic(client, 5, 200)
    watching.stop().expect(0)
    assert "own log" in membench("analyze", output).expect(0).stderr
    with memcached() as target:
        replayed = membench("replay", output, target.address, "--format", "json")
        assert "own log" in replayed.stderr
        result = replayed.json
    assert result["sent"] == result["planned"] == len(client.log)
    assert result["errors"] == 0


def test_a_server_that_goes_away_ends_and_seals_the_recording(
    roomy: Memcached, output: Path
) -> None:
    watching = Watching(roomy, output)
    roomy.stop()
    ended = watching.wait()
    ended.expect(LOST)
    assert ended.json["ended"] == {"by": "source", "reason": "the server closed its log"}
    assert read_info(output)["state"] == "sealed"


def test_a_server_without_watch_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with memcached(arguments=("-W",)) as server:
        refused(f"watch:{server.address}", "`-W`", tmp_path)


def test_a_server_that_asks_for_a_password_is_refused_by_name(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("user:password\n")
    port = free_port()
    command = ["memcached", "-p", str(port), "-U", "0", "-u", "root", "-Y", str(passwords)]
    with started(command, stderr=subprocess.DEVNULL):
        until(lambda: reaches(port), "memcached listening")
        refused(f"watch:127.0.0.1:{port}", "password", tmp_path)


def reaches(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_port_where_no_memcached_listens_is_refused(tmp_path: Path) -> None:
    refused(f"watch:127.0.0.1:{free_port()}", "is memcached running", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        refused(f"watch:127.0.0.1:{silent.getsockname()[1]}", "did not answer", tmp_path)


def refused(source: str, words: str, folder: Path) -> None:
    ended = membench("record", source, folder / "out.mb").expect(ENVIRONMENT)
    assert ended.stderr.startswith(f"error: {source}")
    assert words in ended.stderr
    assert not (folder / "out.mb").exists()


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.log"
    other.write_bytes(b"OK\r\nsomething else\n")
    ended = membench("record", other, tmp_path / "out.mb").expect(2)
    assert "is not a memcached log" in ended.stderr
