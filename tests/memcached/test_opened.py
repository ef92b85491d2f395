"""A profile that is replayed and replaced at the same path."""

from __future__ import annotations

import shutil
from pathlib import Path

import membench
from support.server import Memcached

DATA = Path(__file__).parent.parent / "data"
REQUESTS = 40


def test_an_open_profile_is_replayed_as_it_was_opened(server: Memcached, tmp_path: Path) -> None:
    path = Path(shutil.copytree(DATA / "sealed", tmp_path / "profile.mb"))
    opened = membench.open(path)
    path.rename(tmp_path / "before.mb")
    path.mkdir()
    result = membench.replay(opened, f"127.0.0.1:{server.port}", pacing="speed=10")
    assert (result.planned, result.sent) == (REQUESTS, REQUESTS)
    assert result.outcomes.recorded["get"] == {"hit": 24, "miss": 6}


def test_a_path_is_replayed_as_well(server: Memcached) -> None:
    result = membench.replay(str(DATA / "killed"), f"127.0.0.1:{server.port}", pacing="speed=10")
    assert result.planned == REQUESTS
