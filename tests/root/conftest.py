"""Fixtures of the kernel tests: the hooks, and a recording that several tests read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.kernel import all_hooks, default_hooks
from support.mixed import Mixed, record_mixed
from support.server import memcached


@pytest.fixture(scope="module", params=all_hooks())
def hooks(request: pytest.FixtureRequest) -> str:
    """Return each kind of hooks that this kernel has, in turn."""
    if request.param == "sockets" and default_hooks() != "sockets":
        pytest.skip("this kernel has no sock_recv_length tracepoint")
    return str(request.param)


@pytest.fixture(scope="session")
def mixed(
    memcached_binary: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mixed]:
    """Record the mixed workload once, on a server with four threads."""
    with memcached(threads=4, memory=1024, binary=memcached_binary) as server:
        yield record_mixed(server, tmp_path_factory.mktemp("mixed") / "mixed.mb")
