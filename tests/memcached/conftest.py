"""Fixtures for memcached's own log: a server that drops no line, and a known key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server import Memcached, memcached
from support.watched import KEY, ROOM, Client


@pytest.fixture(autouse=True)
def _hang_up() -> Iterator[None]:
    yield
    Client.close_all()


@pytest.fixture
def roomy() -> Iterator[Memcached]:
    """Start a memcached whose log buffers are large enough to drop no line."""
    with memcached(threads=2, arguments=ROOM) as running:
        yield running


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Write a key file whose key the tests know."""
    path = tmp_path / "ids.key"
    path.write_bytes(KEY)
    path.chmod(0o600)
    return path
