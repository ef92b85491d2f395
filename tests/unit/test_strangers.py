"""Escape sequences in everything that strangers write: none reaches the terminal of a command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from support import captures
from support.cli import Completed, membench
from support.strangers import ESCAPES, evil_memcached, steering

SEALED = Path(__file__).parent.parent / "data" / "sealed"
#: A name of a file may hold everything but a slash and NUL.
NAME = f"name{ESCAPES}\nerror: forged"


def harmless(ended: Completed) -> Completed:
    """Fail if the output of a command may steer a terminal, or pass for words of its own."""
    assert steering(ended.stdout) == "", ended
    assert steering(ended.stderr) == "", ended
    lines = (ended.stdout + ended.stderr).splitlines()
    assert not any(line.startswith("error: forged") for line in lines), ended
    assert "Traceback" not in ended.stderr, ended
    assert "internal error" not in ended.stderr, ended
    return ended


def planted(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON with escape sequences in every text but those that decide how it is read."""
    kept = ("state", "membench", "name", "time_basis", "utc", "key_fingerprint")
    if isinstance(value, dict):
        return {
            name: item if name in kept or name == "counts" else planted(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [planted(item) for item in value]
    return value + ESCAPES + "\nerror: forged" if isinstance(value, str) else value


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """Return a profile whose manifest and name a stranger wrote."""
    copy = tmp_path / f"{NAME}.mb"
    shutil.copytree(SEALED, copy)
    manifest = copy / "manifest.json"
    written = json.loads(manifest.read_text())
    manifest.chmod(0o600)
    written = planted(written)
    for place in ("source", "stopped_by", "write_error", "kernel", "hooks"):
        holder = written.get("header", written)
        holder[place if place in holder else "source"] = ESCAPES + "\nerror: forged"
    manifest.write_text(json.dumps(written))
    return copy


@pytest.mark.parametrize("command", ["info", "analyze", "repair"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_profile_that_a_stranger_wrote(command: str, form: str, profile: Path) -> None:
    options = ["--format", form] if command != "repair" else []
    ended = harmless(membench(command, profile, *options))
    assert "owned" in ended.stdout + ended.stderr


@pytest.mark.parametrize("damage", ["manifest", "part", "missing"])
@pytest.mark.parametrize("command", ["info", "analyze", "repair", "replay"])
def test_a_damaged_profile_with_such_a_name(command: str, damage: str, profile: Path) -> None:
    if damage == "manifest":
        (profile / "manifest.json").write_text(f'{{"{ESCAPES}')
    elif damage == "part":
        for part in profile.glob("events-*"):
            part.write_bytes(b"PAR1" + ESCAPES.encode() + b"PAR1")
    else:
        profile = profile / NAME
    target = ["127.0.0.1:1"] if command == "replay" else []
    harmless(membench(command, profile, *target))


@pytest.mark.parametrize("content", ["capture", "log", "nothing of ours"])
def test_a_file_with_such_a_name(content: str, tmp_path: Path) -> None:
    file = tmp_path / NAME
    file.write_bytes(
        {
            "capture": captures.capture(b"get key\r\n", b"END\r\n"),
            "log": b"ts=1.5 gid=1 type=item_get key=k status=found clsid=1 cfd=9 size=3\n",
            "nothing of ours": ESCAPES.encode(),
        }[content]
    )
    for command in ("record", "top"):
        options = ["--once"] if command == "top" else [tmp_path / f"{NAME}.mb"]
        harmless(membench(command, file, *options))


def test_keygen_at_such_a_path(tmp_path: Path) -> None:
    harmless(membench("keygen", tmp_path / NAME)).expect(0)
    harmless(membench("keygen", tmp_path / NAME))
    harmless(membench("keygen", tmp_path / NAME / NAME))


def test_arguments_of_a_stranger(tmp_path: Path) -> None:
    for command in (
        ["record", f"ebpf:{ESCAPES}"],
        ["record", f"watch:{ESCAPES}:1"],
        ["record", f"pcap:{ESCAPES}"],
        ["record", NAME],
        ["replay", str(SEALED), ESCAPES],
        ["replay", str(SEALED), "127.0.0.1:1", "--check", ESCAPES],
        ["info", str(tmp_path), f"--{ESCAPES}"],
        [ESCAPES],
    ):
        assert harmless(membench(*command)).code


def test_a_server_that_answers_with_escape_sequences(tmp_path: Path) -> None:
    with evil_memcached() as port:
        address = f"127.0.0.1:{port}"
        told = harmless(membench("doctor", "--port", str(port)))
        assert "owned" in told.stdout
        harmless(membench("doctor", "--port", str(port), "--format", "json"))
        harmless(membench("replay", SEALED, address))
        harmless(membench("replay", SEALED, address, "--format", "json"))
        harmless(membench("replay", SEALED, address, "--warm"))
        refused = harmless(membench("record", f"watch:{address}", tmp_path / "log.mb", "-vv"))
        assert "owned" in refused.stderr
        harmless(membench("top", f"watch:{address}", "--once"))
