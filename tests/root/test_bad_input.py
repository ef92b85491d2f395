"""Failures of every kind: one clear error with a remedy, and nothing half-written."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Completed, membench, read_info, recorder, starting
from support.profile import events
from support.requests import read, store
from support.server import Memcached, memcached
from support.unique import Background, traffics
from support.waiting import until
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached]

USAGE, DATA_LOST, ENVIRONMENT = 2, 4, 5
#: Prefix that runs a command as root without any capability.
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def one_clear_error(ended: Completed, code: int, *words: str) -> None:
    """Fail unless the output is a one-line error with these words, and a remedy."""
    ended.expect(code)
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[:1], ended.stderr
    assert "hint: " in ended.stderr or "upgrade" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr
    for word in words:
        assert word in ended.stderr, ended.stderr


def test_without_privileges_it_says_which_are_missing_and_how_to_get_them(output: Path) -> None:
    ended = membench("record", "ebpf:any", output, "--require", "ebpf", prefix=POWERLESS)
    one_clear_error(ended, ENVIRONMENT, "CAP_BPF", "CAP_PERFMON")
    assert not output.exists()


def test_output_that_exists_is_not_touched(server: Memcached, output: Path) -> None:
    output.mkdir()
    (output / "precious").write_text("kept")
    ended = membench("record", "ebpf:any", output, "--port", str(server.port), "--duration", "1")
    one_clear_error(ended, USAGE, str(output))
    assert [file.name for file in output.iterdir()] == ["precious"]


def test_a_recording_is_replaced_only_when_forced(server: Memcached, output: Path) -> None:
    for options, code in (((), 0), ((), USAGE), (("--force",), 0)):
        ended = membench(
            "record", "ebpf:any", output, "--port", str(server.port), "--duration", "1", *options
        )
        ended.expect(code)
    assert json.loads((output / "manifest.json").read_text())["state"] == "sealed"


def test_an_output_folder_that_does_not_exist_is_named(server: Memcached, tmp_path: Path) -> None:
    missing = tmp_path / "absent" / "out.mb"
    ended = membench("record", "ebpf:any", missing, "--port", str(server.port), "--duration", "1")
    one_clear_error(ended, USAGE, str(missing.parent))


def test_an_output_on_a_disk_that_is_too_full_is_refused(
    server: Memcached, small_disk: Path
) -> None:
    options = ("--port", str(server.port), "--duration", "1")
    ended = membench("record", "ebpf:any", small_disk / "out.mb", *options)
    one_clear_error(ended, ENVIRONMENT, "`min-free` is 1.00 GiB", "--min-free")
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_file_that_others_can_read_is_refused(
    output: Path, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "ids.key"
    path.write_text("00" * 16)
    path.chmod(mode)
    ended = membench("record", "ebpf:any", output, "--key-file", path, "--duration", "1")
    one_clear_error(ended, USAGE, str(path), "chmod 600")
    assert not output.exists()


def test_a_key_file_without_a_key_is_refused_and_not_shown(output: Path, tmp_path: Path) -> None:
    path = tmp_path / "ids.key"
    path.write_text("not-thirty-two-hexadecimal-digits")
    path.chmod(0o600)
    ended = membench("record", "ebpf:any", output, "--key-file", path, "--duration", "1")
    one_clear_error(ended, USAGE, str(path))
    assert "thirty-two" not in ended.stderr
    assert not output.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 8 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)],
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield disk
    subprocess.run([shutil.which("umount") or "umount", "-l", str(disk)], check=True)


def test_a_full_disk_seals_what_there_is(server: Memcached, small_disk: Path) -> None:
    profile = small_disk / "full.mb"
    traffic = traffics(server.port, 4)
    with recorder(profile, [server.port], "--no-stats", "--min-free", "none") as running:
        traffic[0].pipeline()
        kept = len(until(lambda: events(profile), "the first events being on disk"))
        fill(small_disk / "filler")
        with Background(traffic):
            ended = running.wait()
    ended.expect(DATA_LOST)
    info = read_info(profile)
    assert info["state"] == "sealed"
    assert info["events"] == len(events(profile)) >= kept
    assert "space" in ended.stderr + ended.stdout or "disk" in ended.stderr + ended.stdout
    recording = ended.json
    for told in (recording, info):
        losses = {cause: told["ledger"][cause] for cause in ("unwritten", "user_queue_drops")}
        assert losses["unwritten"] > 0
        assert losses["user_queue_drops"] == 0
    for figure in ("events", "requests", "commands"):
        assert recording[figure] == info[figure], figure
    shown = membench("info", profile).expect(0).stdout
    assert "events that could not be written" in shown


def fill(path: Path) -> None:
    """Write to a file until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            return


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record a profile of a few requests."""
    path = tmp_path_factory.mktemp("small") / "small.mb"
    with memcached() as server, recorder(path, [server.port]) as running:
        Connection(server.port, 0).perform(
            *(read("get", [b"k%d" % number]) for number in range(20))
        )
        running.stop().expect(0)
    return path


@pytest.fixture
def damaged(small: Path, tmp_path: Path) -> Path:
    """Copy a profile for a test to damage."""
    return Path(shutil.copytree(small, tmp_path / "damaged.mb"))


COMMANDS = [["info"], ["analyze"], ["replay"]]


def read_with(command: list[str], profile: Path) -> Completed:
    """Run a command that reads a profile."""
    target = ["127.0.0.1:1"] if command == ["replay"] else []
    return membench(*command, profile, *target)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_profile_of_a_newer_version_is_refused(damaged: Path, command: list[str]) -> None:
    manifest = json.loads((damaged / "manifest.json").read_text())
    manifest["schema_version"] += 1
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    version = f"schema version {manifest['schema_version']}"
    one_clear_error(read_with(command, damaged), 1, version, "upgrade")


@pytest.mark.parametrize("command", [*COMMANDS, ["repair"]], ids=lambda command: command[0])
def test_half_a_manifest_is_refused_and_left_as_it_is(damaged: Path, command: list[str]) -> None:
    path = damaged / "manifest.json"
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half)
    before = sorted(file.name for file in damaged.iterdir())
    one_clear_error(read_with(command, damaged), 1, "manifest.json")
    assert path.read_bytes() == half
    assert sorted(file.name for file in damaged.iterdir()) == before


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_missing_part_is_named(damaged: Path, command: list[str]) -> None:
    (part,) = damaged.glob("events-*.parquet")
    part.unlink()
    one_clear_error(read_with(command, damaged), 1, part.name)


def test_a_part_that_is_no_parquet_is_named(damaged: Path) -> None:
    (part,) = damaged.glob("events-*.parquet")
    part.write_bytes(b"PAR1 but not for long")
    one_clear_error(membench("analyze", damaged), 1, part.name)


def test_a_profile_that_is_being_recorded_opens_but_is_not_repaired(
    server: Memcached, output: Path
) -> None:
    with recorder(output, [server.port]) as running:
        Connection(server.port, 0).mark()
        assert read_info(output)["state"] == "recording"
        ended = membench("repair", output)
        assert ended.code != 0
        assert "being recorded" in ended.stderr
        running.stop().expect(0)


def test_a_target_that_holds_items_is_refused(small: Path, server: Memcached) -> None:
    Connection(server.port, 0).perform(store("set", b"precious", b"kept"))
    before = server.stats()["cmd_get"]
    one_clear_error(
        membench("replay", small, server.address), ENVIRONMENT, "--allow-nonempty", "item"
    )
    assert server.stats()["cmd_get"] == before


def test_a_target_that_has_other_clients_is_refused(small: Path, server: Memcached) -> None:
    other = Connection(server.port, 0)
    other.mark()
    one_clear_error(
        membench("replay", small, server.address), ENVIRONMENT, "--allow-nonempty", "client"
    )
    other.close()


def test_a_target_that_is_allowed_to_be_in_use_is_replayed_against(
    small: Path, server: Memcached
) -> None:
    other = Connection(server.port, 0)
    other.mark()
    replayed = membench("replay", small, server.address, "--allow-nonempty", "--format", "json")
    # Exit code 4: everything was sent, but a busy machine could not hold the recorded timing.
    assert replayed.code in (0, 4), replayed.stderr
    assert replayed.json["sent"] == replayed.json["planned"] > 0
    other.close()


def test_nothing_listens_on_the_target(small: Path) -> None:
    one_clear_error(membench("replay", small, "127.0.0.1:1"), ENVIRONMENT, "127.0.0.1:1", "refused")


def test_a_server_that_dies_under_a_recording_does_not_spoil_it(
    server: Memcached, output: Path
) -> None:
    with recorder(output, [server.port]) as running:
        Connection(server.port, 0).perform(*(read("get", [b"k%d" % number]) for number in range(5)))
        server.stop()
        running.stop().expect(0)
    info = read_info(output)
    assert (info["state"], info["commands"]["get"]) == ("sealed", 5)


def test_a_second_recorder_sees_the_same(server: Memcached, tmp_path: Path) -> None:
    with (
        recorder(tmp_path / "one.mb", [server.port], "--no-stats") as one,
        recorder(tmp_path / "two.mb", [server.port], "--no-stats") as two,
    ):
        Connection(server.port, 0).perform(
            *(read("get", [b"k%d" % number]) for number in range(50))
        )
        one.stop().expect(0)
        two.stop().expect(0)
    assert len(events(tmp_path / "one.mb")) == len(events(tmp_path / "two.mb")) == 50


def test_ctrl_c_as_soon_as_it_is_attached_seals_an_empty_profile(
    server: Memcached, output: Path
) -> None:
    with starting(output, [server.port], "--no-stats") as running:
        running.attached().stop().expect(0)
    info = read_info(output)
    assert (info["state"], info["events"], info["ledger"]["complete"]) == ("sealed", 0, True)
