"""Recording under sudo: the profile and the recording thread belong to the invoking user."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import proc
from support.cli import membench, recorder
from support.profile import events
from support.requests import store
from support.server import Memcached
from support.waiting import until
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached]

USER, GROUP = 65534, 65533


def ids(pid: int, name: str) -> set[int]:
    """Return ids of the recording thread: `Uid`, `Gid` or `Groups`."""
    (status,) = (
        text
        for text in proc.tasks(pid, "status").values()
        if text.startswith("Name:\tmembench-record\n")
    )
    line = next(line for line in status.splitlines() if line.startswith(name))
    return {int(number) for number in line.split()[1:]}


def test_a_recording_under_sudo_belongs_to_the_invoking_user(
    server: Memcached, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", str(USER))
    monkeypatch.setenv("SUDO_GID", str(GROUP))
    with recorder(output, [server.port]) as running:
        client = Connection(server.port, 0)
        client.perform(store("set", b"k", b"v"))
        until(lambda: len(events(output)) == 1, "the event being on disk")
        assert (ids(running.pid, "Uid"), ids(running.pid, "Gid")) == ({USER}, {GROUP})
        assert ids(running.pid, "Groups") == {GROUP}
        assert running.stop().expect(0).json["ledger"]["complete"]
    owners = {file.name: (file.stat().st_uid, file.stat().st_gid) for file in output.iterdir()}
    assert len(owners) == 4
    assert set(owners.values()) == {(USER, GROUP)}, owners
    assert (output.stat().st_uid, output.stat().st_gid) == (USER, GROUP)


def test_a_recording_by_root_belongs_to_root(server: Memcached, output: Path) -> None:
    with recorder(output, [server.port]) as running:
        running.stop().expect(0)
    assert {file.stat().st_uid for file in [output, *output.iterdir()]} == {0}
    membench("info", output).expect(0)
