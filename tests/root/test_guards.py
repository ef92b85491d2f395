"""Guards that keep a recording harmless: each is provoked on a real memcached and named."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import proc
from support.cli import membench, read_info, recorder, starting
from support.oracle import KnownKeyIds
from support.profile import events
from support.server import Memcached
from support.unique import UniqueTraffic, key_file, traffics
from support.waiting import DEADLINE, let_pass, until

pytestmark = [pytest.mark.root, pytest.mark.memcached]

CONNECTIONS = 4
#: Time without a heartbeat of the recorder after which the programs only count, s.
SILENCE_S = 2.0


@contextmanager
def file_system(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of a size."""
    disk = folder / "disk"
    disk.mkdir()
    mount = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
    if subprocess.run([*mount, str(disk)], check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield disk
    finally:
        subprocess.run([shutil.which("umount") or "umount", "-l", str(disk)], check=True)


def kept(profile: Path, traffic: UniqueTraffic, keys: KnownKeyIds) -> bool:
    """Send a short pipeline; return true if part of it is recorded already."""
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
        running.freeze()
        let_pass(SILENCE_S + 0.5)
        before = sum(one.connection.sent_bytes for one in traffic)
        for one in traffic:
            one.pipeline()
        unseen = sum(one.connection.sent_bytes for one in traffic) - before
        running.thaw()
        until(lambda: kept(profile, traffic[0], keys), "events after the silence")
        running.stop().expect(4)
    info = read_info(profile)
    ledger = info["ledger"]
    sent, received = (
        sum(getattr(one.connection, name) for one in traffic)
        for name in ("sent_bytes", "received_bytes")
    )
    assert ledger["complete"] is False
    assert ledger["unattended"] > unseen
    assert ledger["missed"] == ledger["ring_full"] == 0
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (sent, received)
    assert ledger["servers"]
    for server_flows in ledger["servers"]:
        for flow in (server_flows["request"], server_flows["response"]):
            terms = set(flow) - {"seen", "missed"}
            assert flow["seen"] == sum(flow[term] for term in terms), flow


def test_the_recorder_yields_to_other_processes_and_says_so(
    server: Memcached, output: Path
) -> None:
    with recorder(output, [server.port], "--nice", "10") as running:
        niceness = {proc.stat(text)[16] for text in proc.tasks(running.pid, "stat").values()}
        assert niceness == {"10"}
        assert Path(f"/proc/{running.pid}/oom_score_adj").read_text().strip() == "1000"
        assert "nice 10, oom_score_adj 1000" in running.stderr_text()
        assert "ends by itself: over 100 % CPU" in running.stderr_text()
        running.stop().expect(0)


@pytest.mark.parametrize(
    ("options", "guard"),
    [
        (["--max-memory", "1M"], "memory guard: "),
        (["--max-cpu", "0.01%"], "cpu guard: "),
    ],
    ids=["memory", "cpu"],
)
def test_a_limit_that_is_reached_detaches_seals_and_is_named(
    server: Memcached, output: Path, options: list[str], guard: str
) -> None:
    traffic = traffics(server.port, CONNECTIONS)
    with starting(output, [server.port], "--no-stats", *options) as running:
        recording = running.wait().expect(4).json
    traffic[0].pipeline()
    assert recording["ended"]["reason"].startswith(guard)
    assert recording["ended"]["by"] == "guard"
    assert f"`{options[0].removeprefix('--')}`" in recording["ended"]["reason"]
    info = read_info(output)
    assert (info["state"], info["ledger"]["complete"]) == ("sealed", True)
    assert info["stopped_by"] == recording["ended"]["reason"]
    assert guard in membench("info", output).expect(0).stdout


def test_a_disk_that_fills_up_ends_the_recording_while_there_is_room(
    server: Memcached, tmp_path: Path
) -> None:
    with file_system(tmp_path, "96m") as disk:
        traffic = traffics(server.port, CONNECTIONS)
        profile = disk / "guarded.mb"
        with recorder(profile, [server.port], "--no-stats", "--min-free", "32M") as running:
            traffic[0].pipeline()
            (disk / "ballast").write_bytes(bytes(70 << 20))
            recording = running.wait().expect(4).json
        assert recording["ended"]["reason"].startswith("disk guard: ")
        assert recording["write_error"] is None
        assert recording["events"] == len(traffic[0].connection.log)


def test_a_size_that_was_asked_for_is_a_normal_end(server: Memcached, output: Path) -> None:
    traffic = traffics(server.port, CONNECTIONS)
    with recorder(output, [server.port], "--no-stats", "--max-size", "64K") as running:
        until(lambda: traffic[0].pipeline() or running.process.poll() is not None, "the end")
        recording = running.wait().expect(0).json
    assert recording["ended"] == {"by": "asked", "reason": "max-size"}
    assert recording["ledger"]["complete"] is True
    assert sum(file.stat().st_size for file in output.glob("events-*")) < 1 << 20


def test_the_system_log_names_who_records_and_the_end(server: Memcached, tmp_path: Path) -> None:
    path, _ = key_file(tmp_path)
    (tmp_path / "run/systemd/journal").mkdir(parents=True)
    in_its_run = f'mount --bind {tmp_path / "run"} /run && exec "$@"'
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "run/systemd/journal/socket"))
        log.settimeout(DEADLINE)
        prefix = ["unshare", "--mount", "sh", "-c", in_its_run, "sh"]
        profile = tmp_path / "told.mb"
        with recorder(
            profile, [server.port], "--no-stats", "--key-file", str(path), prefix=prefix
        ) as running:
            running.stop().expect(0)
        attached, detached = log.recv(4096).decode(), log.recv(4096).decode()
    assert "SYSLOG_IDENTIFIER=membench" in attached
    assert f"attached ebpf:any as uid 0: ports [{server.port}]" in attached
    assert f"writing {profile}" in attached
    assert len(attached.split("object ")[1].splitlines()[0]) == len(hashlib.sha256().hexdigest())
    assert str(path) not in attached
    assert "detached after" in detached
    assert "SIGINT" in detached


def test_top_has_the_same_guards_and_names_the_one_that_ended_it(server: Memcached) -> None:
    ended = membench(
        "top", "ebpf:any", "--port", str(server.port), "--interval", "60s", "--max-memory", "1M"
    )
    ended.expect(4)
    assert "memory guard" in ended.stderr
    free = ("--max-memory", "none", "--max-cpu", "none", "--nice", "0", "--once")
    membench("top", "ebpf:any", "--port", str(server.port), *free).expect(0)
