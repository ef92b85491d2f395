"""Profiles that were damaged, or made to harm: an error that names the file, from every reader."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import membench
from membench import ProfileError, cli
from support import captures
from support.waiting import DEADLINE

DATA = Path(__file__).parent.parent / "data"
MB = 1 << 20


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Return a sealed profile of a stored capture."""
    file = tmp_path / "one.pcap"
    file.write_bytes(captures.capture(b"get key\r\n" * 50, b"END\r\n" * 50))
    profile = tmp_path / "one.mb"
    with membench.record(str(file), profile, live=False) as capture:
        assert capture.wait(DEADLINE)
    return profile


READERS: dict[str, Callable[[Path], object]] = {
    "iteration": lambda path: list(membench.open(path)),
    "Arrow": lambda path: pa.table(membench.open(path)),
    "analyze": membench.analyze,
    "replay": lambda path: membench.replay(path, "127.0.0.1:1"),
}


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def forge(profile: Path, name: str, table: pa.Table) -> None:
    """Write another file of this name, and a manifest that vouches for it."""
    file = profile / name
    pq.write_table(table, file, compression="zstd")
    manifest = profile / "manifest.json"
    lines = manifest.read_text().splitlines(keepends=True)
    stated: dict[str, Any] = json.loads("".join(lines))
    content = file.read_bytes()
    for one in stated["parts"] + stated["tables"]:
        if one["name"] == name:
            one.update(bytes=len(content), crc32=f"{zlib.crc32(content):08x}")
    del stated["crc32"]
    body = json.dumps(stated, indent=2).removeprefix("{\n")
    checksum = zlib.crc32(body.encode())
    manifest.write_text(f'{{\n  "crc32": "{checksum:08x}",\n{body}')


def test_checksums_are_those_of_zlib(recorded: Path) -> None:
    text = (recorded / "manifest.json").read_text()
    manifest: dict[str, Any] = json.loads(text)
    _, _, rest = text.split("\n", 2)
    assert manifest["crc32"] == f"{zlib.crc32(rest.encode()):08x}"
    stated = manifest["parts"] + manifest["tables"]
    assert len(stated) == 3
    for one in stated:
        content = (recorded / one["name"]).read_bytes()
        assert (one["bytes"], one["crc32"]) == (len(content), f"{zlib.crc32(content):08x}")


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_every_reader_tells_a_flipped_bit(recorded: Path, read: Callable[[Path], object]) -> None:
    damage(recorded / "events-000001.parquet")
    with pytest.raises((ProfileError, pa.ArrowException), match=r"changed since it was written"):
        read(recorded)


def test_verify_names_what_is_damaged(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert membench.open(recorded).verify().passed
    assert cli.main(["info", "--verify", str(recorded)]) == 0
    assert "4 files as written" in capsys.readouterr().out
    damage(recorded / "connections.parquet")
    found = membench.open(recorded).verify()
    assert (found.passed, found.files, len(found.damaged)) == (False, 3, 1)
    assert cli.main(["info", "--verify", "--format", "json", str(recorded)]) == 1
    printed = capsys.readouterr()
    assert "connections.parquet" in json.loads(printed.out)["verification"]["damaged"][0]
    assert printed.err.startswith(f"error: {recorded}: 1 file not as written\n\nhint: copy the")


def test_a_profile_of_an_older_version_says_that_it_has_no_checksums() -> None:
    found = membench.open(DATA / "sealed").verify()
    assert (found.passed, found.files, "manifest.json" in found.unchecked) == (True, 0, True)


def test_a_profile_may_have_more_parts_than_a_process_may_open_files(tmp_path: Path) -> None:
    sealed = Path(shutil.copytree(DATA / "sealed", tmp_path / "many.mb"))
    manifest: dict[str, Any] = json.loads((sealed / "manifest.json").read_text())
    (part,) = manifest["parts"]
    for number in range(2, 201):
        name = f"events-{number:06}.parquet"
        os.link(sealed / part["name"], sealed / name)
        manifest["parts"].append(part | {"name": name})
    (sealed / "manifest.json").write_text(json.dumps(manifest))
    script = """
import resource, sys
import membench
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
profile = membench.open(sys.argv[1])
import pyarrow
analysis = membench.analyze(profile)  # which merges all of them: each covers the same time
merged = analysis.requests.events
print(len(profile), pyarrow.table(profile).num_rows, merged, profile.verify().passed)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, sealed], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["8000", "8000", "8000", "True"]


def test_a_table_that_unpacks_to_much_is_read_in_pieces(recorded: Path) -> None:
    """Analyze a profile whose table of connections has 6 million rows in a few kB."""
    one = pa.table(membench.open(recorded).connections()).slice(0, 1)
    many = pa.concat_tables([one.take([0] * 1_000_000)] * 6)
    forge(recorded, "connections.parquet", many)
    assert (recorded / "connections.parquet").stat().st_size < MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    analysis = membench.analyze(recorded)
    assert analysis.connections is not None
    assert analysis.connections.known == 6_000_000
    assert len(membench.open(recorded).connections()) == 6_000_000
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < 256 * MB


def test_no_input_is_an_internal_error(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spoil a footer whose checksum then fits: a reader of Parquet may panic on it."""
    part = recorded / "events-000001.parquet"
    whole = part.read_bytes()
    manifest = (recorded / "manifest.json").read_text()
    for place in range(len(whole) - 1500, len(whole) - 8, 37):
        content = bytearray(whole)
        content[place] ^= 0xFF
        part.write_bytes(content)
        stated = manifest.replace(
            f"{zlib.crc32(whole):08x}", f"{zlib.crc32(bytes(content)):08x}"
        ).split("\n", 2)
        stated[1] = f'  "crc32": "{zlib.crc32(stated[2].encode()):08x}",'
        (recorded / "manifest.json").write_text("\n".join(stated))
        assert cli.main(["analyze", str(recorded)]) in (0, 1)
        printed = capsys.readouterr().err
        assert "internal error" not in printed
        assert "panicked" not in printed
