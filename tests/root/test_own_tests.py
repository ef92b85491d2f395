"""memcached's own tests, recorded while they run: complete, and as their servers count.

They start and end servers all the time, at the same ports, and say everything that has an answer.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.cli import read_info, recorder
from support.counters import differing_from
from support.own_tests import RESETS, UNCOUNTED, OwnTests, source
from support.ports import free_port
from support.profile import Row, events, table
from support.workload import in_threads

pytestmark = [pytest.mark.root, pytest.mark.memcached]

#: Text, meta and binary requests, compare and swap, arithmetic, flushes, counters, quiet requests,
#: verbosity, evictions, lists of many keys, and datagrams.
SOME = [
    "binary-get",
    "cas",
    "evictions",
    "flags",
    "flush-all",
    "getset",
    "incrdecr",
    "issue_42",
    "metaget",
    "noreply",
    "stats-detail",
    "udp",
]
#: Tests of one server, which listens at a path if it may: as many as can be followed.
AT_PATHS = [
    "evictions",
    "flags",
    "getset",
    "incrdecr",
    "issue_42",
    "multiversioning",
    "noreply",
    "touch",
]
#: They take a memcached that is built for debugging, or says that it listens at paths, or that
#: nobody has asked before.
LEFT_OUT = {"expirations", "restart", "unixsocket", "stats"}
#: Tests at a time, each at ports of its own: a server's, two for datagrams, and a second server's.
WORKERS, PORTS_EACH = 4, 4
#: Most recordings to try: one that gets no CPU for two seconds loses bytes, and counts them.
ATTEMPTS = 3
#: Counters that events do not tell: creations by binary `incr` and `decr` are no misses; a look-up
#: counts although its request is refused later, its connection closed, or the item not read back
#: from the disk; a refused `delete` with `noreply` does not; a meta request counts as what it did.
UNLIKE = {
    "binary": {"incr_hits incr_misses", "decr_hits decr_misses"},
    "conn-limits": {"get_misses"},
    "error-extstore": {"get_hits"},
    "issue_152": {"get_hits"},
    "issue_3": {"delete_hits delete_misses"},
    "metaget": {
        "get_hits",
        "get_misses",
        "delete_hits delete_misses",
        "incr_hits incr_misses",
        "decr_hits decr_misses",
        "touch_hits touch_misses",
    },
}


def laid_out(folder: Path, *, at_paths: bool = False) -> OwnTests:
    """Lay memcached's tests out, as its release in this system has them."""
    found, reason = source()
    if found is None:
        pytest.skip(reason)
    return OwnTests(folder / "own", found, shutil.which("memcached") or "", at_paths=at_paths)


def run(own: OwnTests, names: Sequence[str], output: Path, *options: str) -> dict[str, str]:
    """Record tests while they run; return what those printed that failed."""
    ports = [free_port() for _ in range(WORKERS * PORTS_EACH)]
    left, failed = iter(list(names)), {}

    def work(worker: int) -> None:
        for name in left:
            if printed := own.run(name, ports[worker * PORTS_EACH :][:PORTS_EACH]):
                failed[name] = printed

    # A recorder that asks for statistics would add its own bytes to the servers' counters.
    with recorder(output, ports, "--wait", "--no-stats", *options) as running:
        in_threads([lambda worker=worker: work(worker) for worker in range(WORKERS)])  # type: ignore[misc]
        running.stop()
    return failed


def by_process(output: Path) -> dict[int, tuple[list[dict[str, Any]], list[Row]]]:
    """Return each server's parts of the ledger, one a port, and its events, by its process."""
    servers = read_info(output)["ledger"]["servers"]
    pids = {one["server"]: one["pid"] for one in servers}
    owner = {row["connection"]: pids[row["server"]] for row in table(output, "connections")}
    found: dict[int, tuple[list[dict[str, Any]], list[Row]]] = {
        pid: ([one for one in servers if one["pid"] == pid], []) for pid in pids.values()
    }
    for event in events(output):
        found[owner[event["connection"]]][1].append(event)
    return found


def expect_as_counted(own: OwnTests, least: Sequence[str], output: Path) -> None:
    """Fail unless the recording is complete and says of each server what that had counted.

    `least` are tests whose servers must have been compared: some cannot be asked, or are skipped.
    """
    ledger = read_info(output)["ledger"]
    assert ledger["complete"] is True, ledger
    recorded, compared = by_process(output), set()
    for pid, counted in own.counted().items():
        test, stats = counted.test, counted.stats
        if own.says(test, RESETS):
            continue
        flows, rows = recorded[pid]
        seen = [sum(one[way]["seen"] for one in flows) for way in ("request", "response")]
        moved = [int(stats["bytes_read"]), int(stats["bytes_written"]) + counted.reply]
        ways = 1 if own.says(test, UNCOUNTED) else 2
        assert seen[:ways] == moved[:ways], test
        differing, unlike = differing_from(rows, {}, stats), UNLIKE.get(test, set())
        assert {name: differing[name] for name in differing.keys() - unlike} == {}, test
        compared.add(test)
    assert compared >= {name for name in least if not own.says(name, RESETS)}


# Its tests bind ports of their own choice, which other tests may have.
@pytest.mark.soak
def test_memcacheds_own_tests_are_recorded_completely_and_as_their_servers_count(
    tmp_path: Path, output: Path
) -> None:
    for attempt in range(ATTEMPTS):
        own, profile = laid_out(tmp_path / f"{attempt}"), output.with_name(f"{attempt}.mb")
        assert run(own, SOME, profile) == {}
        if not read_info(profile)["ledger"]["unattended"]:
            break
    expect_as_counted(own, SOME, profile)


@pytest.mark.soak
def test_memcacheds_own_tests_at_paths_are_recorded_completely_and_as_their_servers_count(
    tmp_path: Path, output: Path
) -> None:
    own = laid_out(tmp_path, at_paths=True)
    paths = [word for name in AT_PATHS for word in ("--socket", str(own.path(name)))]
    assert run(own, AT_PATHS, output, *paths) == {}
    expect_as_counted(own, AT_PATHS, output)


@pytest.mark.soak
def test_all_of_memcacheds_own_tests_are_recorded_completely_and_as_their_servers_count(
    tmp_path: Path, output: Path
) -> None:
    own = laid_out(tmp_path)
    names = [name for name in own.names() if name not in LEFT_OUT]
    assert run(own, names, output) == {}
    expect_as_counted(own, SOME, output)
