"""`top` with a selection: traffic of others on the followed ports is not counted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.cli import COMMAND, environment, membench
from support.namespace import cgroup, cgroup_mount, namespace
from support.ports import free_port
from support.process import started
from support.requests import read
from support.server import memcached
from support.waiting import DEADLINE
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached]

REQUESTS = 30
#: Program that counts until it is told that all was sent and so many events are counted.
PROGRAM = """
import json, sys, membench
selection = membench.Selection(**json.loads(sys.argv[1]))
with membench.top("ebpf:any", drop_privileges=True, selection=selection) as watched:
    print("ready", flush=True)
    sys.stdin.readline()
    while watched.status().events < int(sys.argv[2]):
        watched.count(0.1)
    watched.count(0.3)
    print(watched.take(1.0).events)
"""

#: The selected connection, another one, and the options that select.
Arranged = tuple[Connection, Connection, dict[str, Any]]


def _by_pid(stack: ExitStack, _folder: Path) -> Arranged:
    wanted, other = (stack.enter_context(memcached()) for _ in range(2))
    ends = Connection(wanted.port, 0), Connection(other.port, 1)
    return *ends, {"ports": [wanted.port, other.port], "pids": [wanted.pid]}


def _by_cgroup(stack: ExitStack, _folder: Path) -> Arranged:
    mount = cgroup_mount()
    if mount is None:
        pytest.skip("no control groups (v2) can be made here")
    group = stack.enter_context(cgroup(mount))
    wanted, other, selection = _by_pid(stack, _folder)
    (group / "cgroup.procs").write_text(str(selection["pids"][0]))
    return wanted, other, {"ports": selection["ports"], "cgroups": [str(group)]}


def _by_namespace(stack: ExitStack, _folder: Path) -> Arranged:
    port = free_port()
    stack.enter_context(memcached(port=port))
    space = stack.enter_context(namespace())
    with space.inside():
        stack.enter_context(memcached(port=port))
        wanted = Connection(port, 0)
    selection = {"ports": [port], "network_namespaces": [str(space.pid)]}
    return wanted, Connection(port, 1), selection


def _by_path(stack: ExitStack, folder: Path) -> Arranged:
    wanted = stack.enter_context(memcached(path=folder / "mc.sock"))
    other = stack.enter_context(memcached(path=folder / "nc.sock"))
    ends = Connection(wanted.endpoint, 0), Connection(other.endpoint, 1)
    return *ends, {"sockets": [str(wanted.path)]}


def _by_side(stack: ExitStack, _folder: Path) -> Arranged:
    wanted, other = (stack.enter_context(memcached()) for _ in range(2))
    ends = Connection(wanted.port, 0), Connection(other.port, 1)
    return *ends, {"ports": [wanted.port], "side": "client"}


@pytest.mark.parametrize("arrange", [_by_pid, _by_cgroup, _by_namespace, _by_path, _by_side])
def test_traffic_of_others_is_not_counted(
    tmp_path: Path, arrange: Callable[[ExitStack, Path], Arranged]
) -> None:
    with ExitStack() as stack:
        wanted, other, selection = arrange(stack, tmp_path)
        process = stack.enter_context(
            started(
                [COMMAND[0], "-c", PROGRAM, json.dumps(selection), str(REQUESTS)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment(),
            )
        )
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        for number in range(REQUESTS):
            other.perform(read("get", [b"other-%d" % number]))
            wanted.perform(read("get", [b"key-%d" % number]))
        stdout, _ = process.communicate("\n", timeout=DEADLINE)
        assert process.returncode == 0
    assert int(stdout) == REQUESTS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pid", "4194305"], "no such process"),
        (["--cgroup", "/no/such"], "no control group"),
        (["--netns", "no-such"], "no network namespace"),
        (["--socket", "p" * 108], "1 to 107 bytes"),
        (["--side", "client", "--responses", "lengths"], "arbitrary chunks"),
    ],
)
def test_the_command_takes_what_record_takes(options: list[str], message: str) -> None:
    ended = membench("top", "ebpf:any", "--once", *options).expect(2)
    assert message in ended.stderr
