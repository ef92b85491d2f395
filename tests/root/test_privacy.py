"""Privacy: no key or value leaves memory, and the recorder gives up its privileges."""

from __future__ import annotations

import base64
import random
import resource
import string
import struct
from pathlib import Path

import pytest

from support import proc
from support.cli import Recorder, capabilities, membench, recorder
from support.profile import stats, texts
from support.requests import change, meta, plain, quiet, read, refused_key, store
from support.server import Memcached
from support.waiting import until
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached]

#: Length of a part of a key or value that counts as a leak, bytes.
KNOWN = 8


class Secrets:
    """Random words, no part of which may be found anywhere."""

    def __init__(self) -> None:
        self._random = random.Random(6)
        self.words: list[bytes] = []

    def word(self, size: int) -> bytes:
        word = "".join(self._random.choices(string.ascii_letters + string.digits, k=size)).encode()
        self.words.append(word)
        return word

    def number(self) -> int:
        """Return a number for a counter, whose digits and bytes are secret."""
        number = self._random.randrange(1 << 60, 1 << 63)
        self.words += [str(number).encode(), struct.pack("<Q", number)]
        return number

    def windows(self) -> set[bytes]:
        spelled = [*self.words, *(base64.b64encode(word) for word in self.words)]
        return {word[at : at + KNOWN] for word in spelled for at in range(len(word) - KNOWN + 1)}

    def found_in(self, text: bytes) -> set[bytes]:
        windows = self.windows()
        return {text[at : at + KNOWN] for at in range(len(text) - KNOWN + 1)} & windows


def confide(connection: Connection, secrets: Secrets) -> None:
    """Send secrets in every place where a client can send text."""
    for size in (8, 30, 180):  # short enough for a key even in base64
        key, value = secrets.word(size), secrets.word(3 * size)
        connection.perform(store("set", key, value), read("gets", [key, secrets.word(size)]))
        connection.perform(store("append", key, secrets.word(40)), read("get", [key]))
        connection.perform(
            meta("mg", key, f"k v O{secrets.word(24).decode()}"), change("delete", key)
        )
        connection.perform(meta("ms", key, "b T60", value), meta("mg", key, "b k v"))
        connection.perform(quiet([("mg", key, "k v", None), ("md", secrets.word(30), "", None)]))
    connection.perform(store("set", secrets.word(30), secrets.word(1 << 20)))
    for key in (secrets.word(30), secrets.word(30)):
        counted = f"N0 J{secrets.number()} D{secrets.number()}"
        connection.perform(meta("ma", key, counted))
        connection.perform(plain("incr", f"incr {key.decode()} {secrets.number()}".encode()))
    connection.perform(refused_key(secrets.word(251), secrets.word(60)))
    for verb in (b"", b"get ", b"mg ", b"stats ", b"incr ", b"touch "):
        connection.perform(plain("other", verb + secrets.word(30) + b" " + secrets.word(251)))


def test_no_key_and_no_value_reaches_disk_or_terminal(server: Memcached, output: Path) -> None:
    secrets = Secrets()
    with recorder(output, [server.port], "-vv") as running:
        confide(Connection(server.port, 0), secrets)
        ended = running.stop()
    told = ended.stdout + ended.stderr
    told += "".join(
        membench(*command, output).stdout
        for command in (["info"], ["analyze"], ["analyze", "--format", "json"])
    )
    assert secrets.found_in(told.encode()) == set()
    assert secrets.found_in(texts(output)) == set()


def test_a_killed_recording_holds_no_key_and_no_value(server: Memcached, output: Path) -> None:
    secrets = Secrets()
    with recorder(output, [server.port], "-vv") as running:
        confide(Connection(server.port, 0), secrets)
        until(
            lambda: any(
                one.st_size > 2000 for name, one in stats(output).items() if name.endswith(".part")
            ),
            "the open part",
        )
        running.kill()
        told = running.stderr_text()
    assert secrets.found_in(told.encode()) == set()
    assert secrets.found_in(texts(output)) == set()


def test_the_search_finds_what_is_there() -> None:
    secrets = Secrets()
    word = secrets.word(30)
    assert secrets.found_in(b"before" + word[5:13] + b"after")
    assert secrets.found_in(base64.b64encode(word))
    assert not secrets.found_in(b"before" + word[5:12] + b"after")


def test_no_thread_holds_a_capability_after_attaching(server: Memcached, output: Path) -> None:
    with recorder(output, [server.port]) as running:
        Connection(server.port, 0).mark()
        assert capabilities(running.pid) == {}
        statuses = proc.tasks(running.pid, "status").values()
        assert statuses
        assert all("NoNewPrivs:\t1" in status for status in statuses)
        running.stop().expect(0)


def test_a_recorder_leaves_no_core_file_and_cannot_be_read(server: Memcached, output: Path) -> None:
    with recorder(output, [server.port]) as running:
        assert resource.prlimit(running.pid, resource.RLIMIT_CORE) == (0, 0)
        running.stop().expect(0)


def test_only_the_owner_can_read_a_profile(server: Memcached, output: Path) -> None:
    with recorder(output, [server.port]) as running:
        Connection(server.port, 0).mark()
        modes = {name: one.st_mode & 0o777 for name, one in stats(output).items()}
        running.stop().expect(0)
    modes |= {name: one.st_mode & 0o777 for name, one in stats(output).items()}
    assert output.stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}, modes


def test_a_key_never_shows_in_the_process_list(
    server: Memcached, output: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ids.key"
    membench("keygen", path).expect(0)
    secret = path.read_text().strip()
    with recorder(output, [server.port], "--key-file", str(path)) as running:
        shown = arguments_and_environment(running)
        ended = running.stop().expect(0)
    assert secret not in shown + ended.stdout + ended.stderr
    assert secret.encode() not in texts(output)
    assert bytes.fromhex(secret) not in texts(output)


def arguments_and_environment(running: Recorder) -> str:
    """Return the arguments and environment that `ps` and `/proc` show of the recorder."""
    process = Path(f"/proc/{running.pid}")
    return "".join(
        (process / name).read_bytes().decode(errors="replace") for name in ("cmdline", "environ")
    )
