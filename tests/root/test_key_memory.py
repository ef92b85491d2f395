"""The key that makes key ids: locked and in no dump while it is used, in no memory afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.server import Memcached, connect

pytestmark = [pytest.mark.root, pytest.mark.memcached]

#: A program that uses the library and says where it is; a line on stdin lets it go on.
PROGRAM = """
import gc, sys, membench
how, port, key, output = sys.argv[1:]
def say(word):
    print(word, flush=True)
    sys.stdin.readline()
options = dict(ports=[int(port)], key_file=key)
if how == "record":
    capture = membench.record("ebpf:any", output, live=False, **options)
    say("running")
    capture.stop()
    capture.wait(60)
    say("ended")
    del capture
    gc.collect()
else:
    top = membench.top("ebpf:any", interval_s=0.2, show_keys=True, **options)
    found = False
    while not found:
        top.count(0.2)
        found = any(top.name(key.id) for key in top.take(0.2).keys)
    say("running")
    top.stop()
    say("ended")
    del top
    gc.collect()
say("collected")
"""


class Program:
    """The program while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Take a process that was just started."""
        self._process = process

    def says(self, word: str) -> None:
        """Wait for a word; fail if it says another."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n"

    def go_on(self) -> None:
        """Let it continue."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def places(self, wanted: bytes) -> list[int]:
        """Return the addresses at which its writable memory holds these bytes."""
        found = []
        with Path(f"/proc/{self._process.pid}/mem").open("rb", buffering=0) as memory:
            for start, end in self._regions():
                memory.seek(start)
                try:
                    content = memory.read(end - start)
                except OSError:  # special memory, such as that of a device
                    continue
                at = -1
                while (at := content.find(wanted, at + 1)) >= 0:
                    found.append(start + at)
        return found

    def _regions(self) -> Iterator[tuple[int, int]]:
        maps = Path(f"/proc/{self._process.pid}/maps").read_text()
        for line in maps.splitlines():
            span, access, *_ = line.split()
            if access.startswith("rw"):
                start, _, end = span.partition("-")
                yield int(start, 16), int(end, 16)

    def flags(self, address: int) -> set[str]:
        """Return the kernel's flags of the memory at an address."""
        inside = False
        for line in Path(f"/proc/{self._process.pid}/smaps").read_text().splitlines():
            first = line.split()[0]
            if "-" in first and not first.endswith(":"):
                start, _, end = first.partition("-")
                inside = int(start, 16) <= address < int(end, 16)
            elif inside and first == "VmFlags:":
                return set(line.split()[1:])
        raise AssertionError(f"no memory at {address:#x}")


@contextmanager
def program(how: str, port: int, key: Path, output: Path) -> Iterator[Program]:
    """Run the program; end it when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how, str(port), str(key), str(output)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def in_use(port: int, name: bytes) -> Iterator[None]:
    """Ask for a key again and again while the block runs."""
    over = threading.Event()

    def ask() -> None:
        with connect(port) as client:
            while not over.wait(0.01):
                client.sendall(b"get %s\r\n" % name)
                assert client.recv(100) == b"END\r\n"

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()


def of_key(running: Program, key: bytes) -> list[int]:
    """Return the places of the key, and of each half: a register that was saved holds one."""
    return sorted({*running.places(key[:8]), *running.places(key[8:])})


@pytest.mark.parametrize("form", ["bytes", "digits"])
@pytest.mark.parametrize("how", ["record", "top"])
def test_no_copy_of_the_key_stays_when_a_recording_has_ended(
    how: str, form: str, server: Memcached, tmp_path: Path
) -> None:
    key, file = os.urandom(16), tmp_path / "key"
    file.touch(mode=0o600)
    file.write_bytes(key if form == "bytes" else key.hex().encode())
    name = b"plaintext-" + os.urandom(8).hex().encode()
    with (
        program(how, server.port, file, tmp_path / "recording.mb") as running,
        in_use(server.port, name),
    ):
        running.says("running")
        kept = [place for place in of_key(running, key) if {"lo", "dd"} <= running.flags(place)]
        assert kept, "the key is in memory that is locked and left out of dumps"
        running.go_on()
        running.says("ended")
        assert of_key(running, key) == []
        assert running.places(key.hex().encode()) == []
        if how == "top":
            assert running.places(name) == []
        running.go_on()
        running.says("collected")
        assert of_key(running, key) == []


def test_a_pipe_as_key_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "key"
    os.mkfifo(pipe, 0o600)
    done = subprocess.run(
        [sys.executable, "-m", "membench", "record", "ebpf:any", "--key-file", str(pipe)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode
    assert "it is a pipe (FIFO), and a file is wanted" in done.stderr
