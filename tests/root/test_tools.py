"""libmemcached's tools, recorded while they run: complete, and as the server counts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support.cli import recorder
from support.counters import differing, expect_complete
from support.server import Memcached

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.soak]

#: Longest run of a tool, s.
LONGEST = 300
#: Where a server is named: tools spell it in their own ways.
TOOLS = [
    "memcping --servers={address}",
    "memccapable -h 127.0.0.1 -p {port} -T 60",
    "memccapable -h 127.0.0.1 -p {port} -T 60 -a",
    "memcslap --servers={address} --concurrency=4 --execute-number=2000",
    "memcslap --servers={address} --concurrency=4 --execute-number=2000 --binary",
    "memcslap --servers={address} --concurrency=4 --execute-number=2000 --non-blocking",
    "memcslap --servers={address} --concurrency=2 --execute-number=50 --test=mget",
    "memcaslap -s {address} -T 2 -c 16 -x 100000",
    "memcaslap -s {address} -T 2 -c 16 -x 100000 -B",
    "memcaslap -s {address} -T 2 -c 16 -x 100000 -d 20",
    "memcstat --servers={address}",
    "memcdump --servers={address}",
    "memcflush --servers={address}",
]


@pytest.mark.parametrize("line", TOOLS)
def test_a_tool_is_recorded_completely_and_as_the_server_counts(
    server: Memcached, output: Path, line: str
) -> None:
    command = line.format(address=server.address, port=server.port).split()
    if shutil.which(command[0]) is None:
        pytest.fail(f"{command[0]} is not installed: make soak")
    with recorder(output, [server.port]) as running:
        before = server.stats()
        subprocess.run(command, timeout=LONGEST, check=True, capture_output=True)
        after = server.stats()
        ended = running.stop().expect(0).json
    assert [one for one in ended["differences"] if one["server"] != one["recorded"]] == []
    assert differing(output, before, after) == {}
    expect_complete(output)
