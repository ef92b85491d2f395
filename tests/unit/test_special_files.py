"""Pipes, devices, sockets and folders where a file is wanted: refused at once, never waited for."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from membench import MembenchError, UsageError, bpf
from membench._files import created
from support.cli import membench

SEALED = Path(__file__).parent.parent / "data" / "sealed"
FOUND = {
    "pipe": "it is a pipe (FIFO), and a file is wanted",
    "pipe.pcap": "it is a pipe (FIFO), and a file is wanted",
    "socket": "it is a socket, and a file is wanted",
    "/dev/zero": "it is a device, and a file is wanted",
    "folder": "is a directory",
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with something of each kind, none of which is a file."""
    for name in ("pipe", "pipe.pcap"):
        os.mkfifo(tmp_path / name, 0o600)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        yield tmp_path


@pytest.mark.parametrize("name", FOUND)
def test_a_source_that_is_no_file_is_refused_and_a_stream_is_offered(
    name: str, place: Path
) -> None:
    for command in (("record", place / name, place / "out.mb"), ("top", place / name, "--once")):
        ended = membench(*command).expect(2)
        told = " ".join(ended.stderr.split())
        assert FOUND[name] in told.lower().replace("fifo", "FIFO"), told
        if name != "folder":
            assert "record - OUTPUT < FILE` reads a stream" in told, told
        assert not (place / "out.mb").exists()


def test_a_pipe_in_the_current_folder_needs_no_slash_to_be_told(place: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "membench", "record", "pipe", "out.mb"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=place,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "pipe: it is a pipe (FIFO), and a file is wanted" in ended.stderr


def test_several_sources_one_of_which_is_a_pipe_are_refused(place: Path) -> None:
    ended = membench("record", place / "pipe", place / "pipe.pcap", place / "out.mb").expect(2)
    assert "it is a pipe (FIFO)" in ended.stderr


@pytest.mark.parametrize("name", [name for name in FOUND if name != "folder"])
def test_what_is_no_profile_is_refused(name: str, place: Path) -> None:
    for command in ("info", "analyze", "repair"):
        ended = membench(command, place / name)
        assert ended.code in {1, 2}, ended.stderr
        assert "a profile is a folder" in " ".join(ended.stderr.split()), ended.stderr
    ended = membench("replay", place / name, "127.0.0.1:1")
    assert "a profile is a folder" in " ".join(ended.stderr.split()), ended.stderr


@pytest.mark.parametrize("name", ["pipe", "socket", "/dev/zero", "folder"])
def test_an_output_that_is_no_profile_is_refused(name: str, place: Path) -> None:
    capture = place / "empty.pcap"
    capture.write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    for options in ((), ("--force",)):
        ended = membench("record", capture, place / name, *options).expect(2)
        assert "hint: " in ended.stderr
        assert (place / name).exists()


@pytest.mark.parametrize("name", ["pipe", "socket", "/dev/zero", "folder"])
def test_a_key_file_that_is_no_file_is_refused(name: str, place: Path) -> None:
    capture = place / "empty.pcap"
    capture.write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    ended = membench("record", capture, place / "out.mb", "--key-file", place / name).expect(2)
    assert FOUND[name] in ended.stderr.lower().replace("fifo", "FIFO")


@pytest.mark.parametrize("name", ["pipe", "socket", "/dev/zero", "folder"])
def test_a_program_that_is_no_file_is_refused(name: str, place: Path) -> None:
    for hook in (f"uprobe:{place / name}:main", f"usdt:{place / name}:a:b"):
        ended = membench("probe", "--list", hook)
        assert FOUND[name] in ended.stderr.lower().replace("fifo", "FIFO"), ended.stderr
    with pytest.raises(MembenchError, match=r"(?i)wanted|directory"):
        bpf.Object.open(place / name)


@pytest.mark.parametrize("name", ["pipe", "socket", "/dev/zero", "folder", "link"])
def test_a_file_to_write_is_neither_a_link_nor_something_else(name: str, place: Path) -> None:
    with (
        pytest.raises(UsageError, match="is a link, a folder, a pipe or a device"),
        created(place / name, force=True),
    ):
        pass
    assert not (place / "absent").exists()


def test_a_file_is_replaced_only_if_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("much longer than what follows")
    with pytest.raises(FileExistsError), created(path, force=False):
        pass
    with created(path, force=True) as file:
        file.write(b"short")
    assert path.read_bytes() == b"short"


def test_a_file_that_is_replaced_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("old")
    path.chmod(0o644)
    with created(path, force=True):
        assert path.read_text() == "old"
    assert path.read_bytes() == b""
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_stays_as_it_was_if_nothing_is_written_before_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("old")
    path.chmod(0o640)
    assert _interrupted(path, b"") == "old"
    assert path.stat().st_mode & 0o777 == 0o640
    assert _interrupted(path, b"new") == "new"


def _interrupted(path: Path, content: bytes) -> str:
    """Return what a file holds after its replacement was interrupted."""
    with suppress(KeyboardInterrupt), created(path, force=True) as file:
        file.write(content)
        raise KeyboardInterrupt
    return path.read_text()


def test_a_new_file_that_takes_nothing_goes_again(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with (
            pytest.raises(MembenchError, match="cannot write"),
            created(tmp_path / "new", force=False) as file,
        ):
            file.write(b"more than fits")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "new").exists()


def test_a_file_with_a_second_name_is_not_replaced(tmp_path: Path) -> None:
    path, other = tmp_path / "lines", tmp_path / "other"
    other.write_text("kept")
    path.hardlink_to(other)
    with pytest.raises(UsageError, match="hard link"), created(path, force=True):
        pass
    assert other.read_text() == "kept"
