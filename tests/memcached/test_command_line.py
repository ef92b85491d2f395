"""Invalid arguments: each gets one clear error, a remedy and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli import Completed, membench

USAGE, FAILED = 2, 1


def one_clear_error(ended: Completed, codes: tuple[int, ...], *words: str) -> None:
    assert ended.code in codes, f"{ended.code}: {ended.stderr}"
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[:1], ended.stderr
    assert "Traceback" not in ended.stderr
    for word in words:
        assert word in ended.stderr, ended.stderr


@pytest.mark.parametrize(
    "source",
    ["ebpf", "epbf:any", "kprobe:any", "", "ebpf:no-such-interface", "pcap:no-such-interface"],
)
def test_an_unknown_source_is_refused_and_nothing_written(source: str, output: Path) -> None:
    one_clear_error(membench("record", source, output), (USAGE,), "hint: ", source)
    assert not output.exists()


@pytest.mark.parametrize("source", ["watch:127.0.0.1:1", "./no-such.pcap"])
def test_a_missing_source_is_named(source: str, output: Path) -> None:
    one_clear_error(membench("record", source, output), (USAGE, FAILED, 5), "", source[-6:])
    assert not output.exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--port", "0"),
        ("--port", "65536"),
        ("--duration", "soon"),
        ("--duration", "-1"),
        ("--ring-size", "0"),
        ("--ring-size", "many"),
        ("--responses", "some"),
        ("--format", "xml"),
        ("--allow-loss", "-1"),
        ("--allow-loss", "101"),
    ],
)
def test_an_invalid_value_is_refused(option: str, value: str, output: Path) -> None:
    one_clear_error(
        membench("record", "ebpf:any", output, "--duration", "1", option, value),
        (USAGE,),
        option.removeprefix("--"),
    )
    assert not output.exists()


@pytest.mark.parametrize("command", ["info", "analyze", "repair", "replay"])
def test_a_profile_that_does_not_exist_is_named(command: str, tmp_path: Path) -> None:
    target = ["127.0.0.1:11211"] if command == "replay" else []
    missing = tmp_path / "missing.mb"
    one_clear_error(membench(command, missing, *target), (FAILED, USAGE, 5), str(missing))


@pytest.mark.parametrize("command", ["info", "analyze", "repair", "replay"])
@pytest.mark.parametrize("kind", ["empty folder", "file"])
def test_a_path_that_is_no_profile_is_named(command: str, kind: str, tmp_path: Path) -> None:
    target = ["127.0.0.1:11211"] if command == "replay" else []
    other = tmp_path / "other.mb"
    other.mkdir() if kind == "empty folder" else other.write_text("something")
    one_clear_error(membench(command, other, *target), (FAILED, USAGE), str(other))


def test_a_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "ids.key"
    membench("keygen", path).expect(0)
    made = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(made.strip())) == 16
    one_clear_error(membench("keygen", path), (USAGE,), str(path))
    assert path.read_text() == made


def test_version_and_help_need_no_kernel() -> None:
    assert membench("--version").expect(0).stdout.strip()
    assert "record" in membench("--help").expect(0).stdout
