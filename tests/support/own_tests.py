"""memcached's own tests, from its source: laid out in a folder, and run there at ports of ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.waiting import PATIENCE

TESTS = Path(__file__).parents[1]
#: Longest run of one of its tests, s.
LONGEST = 600 * PATIENCE
#: Changes to the library of its tests. A port or a path is one of ours; the path stays until the
#: server has been asked for its counters. The first client asks for the server's version, because
#: releases read some lines differently, and the recorder cannot have asked yet.
CHANGES = {
    "int(rand(20000)) + 30000": "do { my @ports = split / /, $ENV{PORTS}; $ports[rand @ports] }",
    '"/tmp/memcachetest.$$.$num"': '"$ENV{SOCKETS}/$num"',
    "unlink $_;": "",
    "sub new_memcached {": """sub new_memcached {
    my $begun = begin_memcached(@_);
    # These take no text, or a password first.
    return $begun if "@_" =~ /-[BSY]/ or $0 =~ /binary/;
    my $sock = $begun->sock;
    print $sock "version\\r\\n";
    <$sock>;
    return $begun;
}
sub begin_memcached {""",
}
#: An option of builds for debugging, and one that changes nothing.
DEBUGGING, NOTHING = "relaxed_privileges", "modern"
#: What a test says where the server's counters tell less than the hooks see: it sets them to 0, or
#: makes threads write that do not count (docs/capture.md, Comparison).
RESETS, UNCOUNTED = ("stats reset",), ("watch ", "metadump", "mgdump", "maxconns")


@cache
def source(suite: str = "") -> tuple[Path | None, str]:
    """Return the folder of memcached's source, of this system or a suite; else the reason."""
    script = TESTS / "memcached_source.sh"
    done = subprocess.run([script, *suite.split()], capture_output=True, text=True, check=False)
    found = done.stdout.strip() if done.returncode == 0 else ""
    return (Path(found) if found else None), (done.stderr.strip().splitlines() or [""])[-1]


@dataclass(frozen=True, slots=True)
class Counted:
    """A server of the tests, and its counters when it was told to end."""

    pid: int
    test: str
    stats: dict[str, str]
    #: Size of the answer that says so, which the server had not counted yet.
    reply: int


class OwnTests:
    """A folder in which memcached's tests run against a binary."""

    def __init__(self, folder: Path, source: Path, binary: str, *, at_paths: bool = False) -> None:
        """Lay it out. `at_paths`: servers listen at paths, unless a test asks for a port."""
        self.folder, self._counted = folder, folder / "counted"
        shutil.copytree(source / "t", folder / "t")
        shutil.copytree(source / "doc", folder / "doc")
        self._counted.mkdir()
        library = folder / "t/lib/MemcachedTest.pm"
        text = library.read_text()
        for there, instead in CHANGES.items():
            assert there in text, f"{library}: {there}"
            text = text.replace(there, instead)
        library.write_text(text)
        # Its tests take a port where the help knows of no paths.
        hidden = "nothing is hidden" if at_paths else "unix-socket"
        self._script(
            "memcached-debug",
            f"[ \"$1\" != -h ] || {{ {binary} -h | grep -v '{hidden}'; exit; }}",
            f'exec {binary} "${{@/#{DEBUGGING}/{NOTHING}}}"',
        )
        run = f"{sys.executable} -m support.counted_run {self._counted}"
        self._script("timedrun", f'exec {run} "$@"')

    def _script(self, name: str, *lines: str) -> None:
        script = self.folder / name
        script.write_text("\n".join(["#!/bin/bash", *lines, ""]))
        script.chmod(0o755)

    def names(self) -> list[str]:
        """Return the names of all tests."""
        return sorted(file.stem for file in (self.folder / "t").glob("*.t"))

    def path(self, name: str) -> Path:
        """Return the path at which the first server of a test listens."""
        return self.folder / f"at-{name}" / "0"

    def says(self, name: str, words: Sequence[str]) -> bool:
        """Return true if a test says one of these."""
        text = (self.folder / f"t/{name}.t").read_text(errors="replace")
        return any(word in text or word in name for word in words)

    def run(self, name: str, ports: Sequence[int]) -> str:
        """Run a test at these ports; return what it printed if it failed, else nothing."""
        sockets = self.path(name).parent
        sockets.mkdir()
        environment = os.environ | {
            "PORTS": " ".join(map(str, ports)),
            "SOCKETS": str(sockets),
            "TEST": name,
            "PYTHONPATH": str(TESTS),
        }
        command = [shutil.which("perl") or "perl", "-It/lib", f"t/{name}.t"]
        # A session of its own: a test that hangs ends with the servers that it started.
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                printed, _ = process.communicate(timeout=LONGEST)
            except subprocess.TimeoutExpired as late:
                return str(late)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return printed.decode(errors="replace") if process.returncode else ""

    def counted(self) -> dict[int, Counted]:
        """Return what the servers had counted, by process."""
        told = (json.loads(file.read_text()) for file in self._counted.iterdir())
        return {one["pid"]: Counted(**one) for one in told}
