"""Selection of sockets by process, control group and network namespace."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.cli import membench, read_info, read_ledger, recorder
from support.kernel import TRACES_CGROUPS, release
from support.namespace import Namespace, cgroup, cgroup_mount, namespace
from support.oracle import compare
from support.ports import free_port
from support.profile import by_connection, events, table
from support.requests import read, store
from support.server import Memcached, memcached
from support.sharing import ANSWER, STINT, ask, sharing
from support.waiting import until
from support.workload import Connection

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel]

REQUESTS = 40


def visit(port: int, ordinal: int, host: str = "127.0.0.1") -> Connection:
    """Open a marked connection and perform a few requests."""
    connection = Connection(port, ordinal, host)
    connection.mark()
    for number in range(REQUESTS):
        connection.perform(store("set", b"k%d" % number, b"v" * 20), read("get", [b"k%d" % number]))
    return connection


def filters(profile: Path) -> dict:  # type: ignore[type-arg]
    """Return the selection that a profile's manifest names."""
    found: dict = json.loads((profile / "manifest.json").read_text())["filters"]  # type: ignore[type-arg]
    return found


def in_each(spaces: list[Namespace], port: int, stack: ExitStack) -> list[Memcached]:
    """Start a memcached on the same port of each namespace."""
    servers = []
    for space in spaces:
        with space.inside():
            servers.append(stack.enter_context(memcached(port=port)))
    return servers


@pytest.mark.quick
def test_two_servers_on_one_port_of_two_network_namespaces_stay_apart(output: Path) -> None:
    port = free_port()
    with namespace() as one, namespace() as two, ExitStack() as stack:
        servers = in_each([one, two], port, stack)
        with recorder(output, [port], "--no-stats") as running:
            made = []
            for ordinal, space in enumerate([one, two, one]):
                with space.inside():
                    made.append(visit(port, ordinal))
            told = running.stderr_text()
            running.stop().expect(0)
    assert compare(made, by_connection(events(output))) == []
    flows = read_ledger(output)["servers"]
    assert [(flow["network_namespace"], flow["pid"], flow["port"]) for flow in flows] == [
        (space.inode, server.pid, port) for space, server in zip([one, two], servers, strict=True)
    ]
    assert [flow["request"]["seen"] for flow in flows] == [
        made[0].sent_bytes + made[2].sent_bytes,
        made[1].sent_bytes,
    ]
    assert [row["server"] for row in table(output, "connections")] == [0, 1, 0]
    assert all(f"network namespace {space.inode}" in told for space in (one, two)), told


@pytest.mark.parametrize("by", ["pid", "path"])
def test_one_network_namespace_alone_is_recorded_when_asked_for(output: Path, by: str) -> None:
    port = free_port()
    with namespace() as one, namespace() as two, ExitStack() as stack:
        in_each([one, two], port, stack)
        wanted = str(one.pid if by == "pid" else one.path)
        with recorder(output, [port], "--no-stats", "--netns", wanted) as running:
            with one.inside():
                made = visit(port, 0)
            with two.inside():
                visit(port, 1)
            running.stop().expect(0)
    assert compare([made], by_connection(events(output))) == []
    assert read_ledger(output)["request_bytes"] == made.sent_bytes
    assert filters(output)["network_namespaces"] == [one.inode]


@pytest.mark.quick
def test_a_process_is_recorded_on_the_ports_it_listens_on(server: Memcached, output: Path) -> None:
    with (
        memcached() as other,
        recorder(output, [], "--no-stats", "--pid", str(server.pid)) as running,
    ):
        made = visit(server.port, 0)
        visit(other.port, 1)
        running.stop().expect(0)
    assert compare([made], by_connection(events(output))) == []
    said = filters(output)
    assert (said["ports"], said["pids"]) == ([server.port], [server.pid])


def test_of_several_processes_only_those_asked_for_are_recorded(
    server: Memcached, output: Path
) -> None:
    """Name every port, so that the process alone decides."""
    with memcached() as second, memcached() as third:
        ports = [one.port for one in (server, second, third)]
        options = ("--no-stats", "--pid", str(server.pid), "--pid", str(third.pid))
        with recorder(output, ports, *options) as running:
            made = [visit(server.port, 0), visit(third.port, 2)]
            visit(second.port, 1)
            running.stop().expect(0)
    assert compare(made, by_connection(events(output))) == []


@pytest.mark.parametrize(
    "how",
    ["passed", "forked", "duplicated", pytest.param("mapped", marks=pytest.mark.quick)],
)
def test_a_socket_in_several_hands_is_recorded_once_and_whole(output: Path, how: str) -> None:
    port = free_port()
    with (
        sharing(how, port),
        recorder(output, [port], "--no-stats") as running,
        socket.create_connection(("127.0.0.1", port)) as peer,
    ):
        sent = ask(peer, REQUESTS)
        running.stop().expect(0)
    rows = [row for row in events(output) if row["command"] == "get"]
    assert [row["outcome"] for row in rows] == ["miss"] * REQUESTS
    found = read_ledger(output)
    assert found["complete"] is True
    assert (found["request_bytes"], found["response_bytes"]) == (sent, REQUESTS * len(ANSWER))
    (row,) = table(output, "connections")
    assert (row["transport"], row["lost_bytes"]) == ("tcp4", 0)


def test_calls_of_another_process_on_a_passed_socket_are_not_recorded(output: Path) -> None:
    port = free_port()
    with (
        sharing("passed", port) as server,
        recorder(output, [], "--no-stats", "--pid", str(server.pid)) as running,
        socket.create_connection(("127.0.0.1", port)) as peer,
    ):
        ask(peer, REQUESTS)
        running.stop().expect(0)
    assert len(events(output)) == STINT
    assert read_ledger(output)["response_bytes"] == STINT * len(ANSWER)


@pytest.mark.quick
@pytest.mark.skipif(
    release() < TRACES_CGROUPS, reason="before Linux 5.15 programs cannot ask for control groups"
)
def test_a_control_group_is_recorded_with_those_below_it(server: Memcached, output: Path) -> None:
    mount = cgroup_mount()
    if mount is None:
        pytest.skip("no control groups (v2) can be made here")
    with (
        cgroup(mount) as outer,
        cgroup(outer, "below") as inner,
        memcached() as in_it,
    ):
        (inner / "cgroup.procs").write_text(str(in_it.pid))
        for wanted in (str(outer), f"/{outer.name}/below"):
            options = ("--no-stats", "--force", "--cgroup", wanted)
            with recorder(output, [server.port, in_it.port], *options) as running:
                made = visit(in_it.port, 0)
                visit(server.port, 1)
                running.stop().expect(0)
            assert compare([made], by_connection(events(output))) == []


@pytest.mark.quick
@pytest.mark.skipif(release() >= TRACES_CGROUPS, reason="this kernel tells control groups")
def test_where_programs_cannot_ask_for_control_groups_that_is_said(output: Path) -> None:
    mount = cgroup_mount()
    if mount is None:
        pytest.skip("no control groups (v2) can be made here")
    refused = membench(
        *("record", "ebpf:any", output, "--duration", "1", "--require", "ebpf"),
        *("--cgroup", str(mount)),
    ).expect(5)
    assert "programs cannot tell a task's control group (--cgroup)" in refused.stderr
    assert "--pid" in refused.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "no server was found: nothing listened on port {port}"),
        (["--side", "client"], "nothing here was connected to port {port}"),
    ],
    ids=["server", "client"],
)
def test_a_recording_that_found_no_server_or_client_says_so(
    output: Path, options: list[str], said: str
) -> None:
    port = free_port()
    with recorder(output, [port], *options, "--wait") as running:
        recording = running.stop().expect(0).json
    assert (recording["why_empty"], recording["events"]) == (said.format(port=port), 0)
    assert recording["nothing_found"]


def test_a_port_without_a_server_is_an_error_that_names_the_servers_there_are(
    server: Memcached, output: Path
) -> None:
    port = free_port()
    refused = membench("record", "ebpf:any", output, "--port", str(port), "--require", "ebpf")
    refused.expect(5)
    assert refused.stdout == ""
    assert refused.stderr.startswith(
        f"error: no server was found: nothing listened on port {port}\n\nhint: "
    )
    assert "--port" in refused.stderr
    assert "--wait" in refused.stderr
    # Other tests run servers as well, of which at most four are named.
    assert f"port {server.port} (pid {server.pid})" in refused.stderr or "more" in refused.stderr
    assert not output.exists()


def test_clients_that_nobody_has_are_an_error_at_the_end(output: Path) -> None:
    options = ("--side", "client", "--port", str(free_port()), "--duration", "1")
    ended = membench("record", "ebpf:any", output, *options, "--format", "json").expect(5)
    assert ended.json["nothing_found"]


def test_a_server_that_restarts_is_told_with_its_processes(server: Memcached, output: Path) -> None:
    first = server.pid
    with recorder(output, [server.port]) as running:
        visit(server.port, 0)
        server.stop()
        until(lambda: f"pid {first} ended at" in running.stderr_text(), "a word about the end")
        server.restart()
        visit(server.port, 1)
        began = f"pid {server.pid} began at"
        until(lambda: began in running.stderr_text(), "a word about the new server")
        recording = running.stop().expect(0).json
    runs = [(one["pid"], one["port"]) for one in recording["server_runs"]]
    assert runs == [(first, server.port), (server.pid, server.port)]
    before, after = recording["server_runs"]
    assert 0 < before["ended_s"] <= after["began_s"] < recording["duration_s"]
    assert (before["began_s"], after["ended_s"]) == (None, None)
    assert {before["version"], after["version"]} == {server.stats()["version"]}
    said = membench("info", output).expect(0).stdout
    assert f"pid {first}" in said
    assert f"pid {server.pid}" in said
    assert read_info(output)["server_runs"] == recording["server_runs"]


def test_a_server_that_begins_beside_another_is_found_and_asked(
    server: Memcached, output: Path
) -> None:
    other = free_port()
    with (
        recorder(output, [server.port, other]) as running,
        memcached(port=other) as beside,
    ):
        began = f"pid {beside.pid} began at"
        until(lambda: began in running.stderr_text(), "a word about the new server")
        recording = running.stop().expect(0).json
    runs = {one["pid"]: one["version"] for one in recording["server_runs"]}
    assert runs == dict.fromkeys([server.pid, beside.pid], server.stats()["version"])


def test_an_idle_server_is_reported_as_found(server: Memcached, output: Path) -> None:
    with recorder(output, [server.port]) as running:
        recording = running.stop().expect(0).json
    assert recording["why_empty"] == f"nothing was sent to port {server.port}"


def test_a_recording_with_a_connection_says_nothing_of_it(server: Memcached, output: Path) -> None:
    with recorder(output, [server.port]) as running:
        visit(server.port, 0)
        assert running.stop().expect(0).json["why_empty"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pid", "4194305"], "no such process"),
        (["--pid", "1"], "listens on no port"),
        (["--cgroup", "/no/such"], "no control group"),
        (["--netns", "no-such"], "no network namespace"),
    ],
)
def test_a_selection_that_does_not_exist_is_refused_before_anything_is_attached(
    output: Path, options: list[str], message: str
) -> None:
    ended = membench("record", "ebpf:any", output, *options).expect(2)
    assert message in ended.stderr
    assert "hint: " in ended.stderr
    assert not output.exists()
