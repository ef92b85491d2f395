"""The health of TCP: as `ss` and the kernel's counters tell it, without privileges and with."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

import membench
from membench._observe.diagnosis import Diagnosed, diagnose
from membench._observe.tcp import COUNTERS
from support.answers import answer
from support.cli import environment
from support.least import with_capabilities
from support.namespace import namespace
from support.server import Memcached, connect, memcached
from support.waiting import until

pytestmark = [pytest.mark.root]

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
#: A classic program of one instruction that keeps no byte of any packet: `ret #0`.
DROP = struct.pack("=HBBI", 0x06, 0, 0, 0)


@pytest.fixture
def server() -> Iterator[Memcached]:
    """Start a memcached with two workers."""
    with memcached(threads=2) as started_server:
        yield started_server


@contextmanager
def losing(client: socket.socket) -> Iterator[None]:
    """Lose every packet that comes to a connected socket, as a network would."""
    program = ctypes.create_string_buffer(DROP, len(DROP))
    listed = struct.pack("HL", 1, ctypes.addressof(program))
    client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, listed)
    try:
        yield
    finally:
        client.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def own(server: Memcached, client: socket.socket) -> Diagnosed:
    """Return the server's end of a connection."""
    name = "{}:{}".format(*client.getsockname())
    (found,) = [one for one in diagnose(server.port) if one.peer == name]
    return found


def told_by_ss(*arguments: str) -> str:
    """Return what `ss` prints."""
    ss = shutil.which("ss") or "ss"
    return subprocess.run([ss, *arguments], capture_output=True, text=True, check=True).stdout


def told_by_nstat(name: str) -> int:
    """Return a counter of the kernel, as `nstat` prints it."""
    command = [shutil.which("nstat") or "nstat", "-asz", f"*{name}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in told.splitlines()]
    (value,) = [row[1] for row in rows if row[0] in {f"Tcp{name}", f"TcpExt{name}"}]
    return int(value)


def lose_answers(server: Memcached, client: socket.socket, amount: int) -> None:
    """Ask, and lose the answer until the server has sent it again some times."""
    before = own(server, client).retransmits
    with losing(client):
        client.sendall(b"get x\r\n")
        until(lambda: own(server, client).retransmits >= before + amount, "another try")
    assert client.recv(100) == b"END\r\n"


def test_a_connection_is_as_ss_says(server: Memcached) -> None:
    with connect(server.port) as client:
        for _ in range(100):
            answer(client, b"get x\r\n")
        until(lambda: own(server, client).sending == 0, "the acknowledgement")
        # It is idle, so nothing changes between the two looks.
        found = own(server, client)
        port = client.getsockname()[1]
        words = told_by_ss("-tinOH", f"( sport = :{server.port} and dport = :{port} )").split()
    told = dict(word.split(":", 1) for word in words if word.count(":") == 1)
    assert found.window == int(told["cwnd"])
    assert found.round_trip_us == round(float(told["rtt"].partition("/")[0]) * 1000)
    assert found.retransmits == int(told.get("retrans", "0/0").rpartition("/")[2]) == 0


def test_answers_that_are_lost_are_told_from_a_slow_server(server: Memcached) -> None:
    with (
        connect(server.port) as client,
        membench.observe(
            requests=True, ports=[server.port], interval_s=None, by=["connection"]
        ) as observed,
    ):
        answer(client, b"get x\r\n")
        observed.take()
        begun = time.monotonic_ns()
        lose_answers(server, client, 3)
        elapsed_ns = time.monotonic_ns() - begun
        answer(client, b"get x\r\n")
        told = own(server, client).retransmits
        name = "{}:{}".format(*client.getsockname())
        observed.stop()
        interval = observed.take()
    events, account, health = interval.tcp_events, interval.account, interval.servers[0].tcp
    assert events is not None
    assert account is not None
    assert health is not None
    assert interval.connections is not None
    assert told >= 3
    assert events.retransmits == health.retransmits == told
    (one,) = [one for one in interval.connections.busiest if one.client == name]
    assert one.retransmits == told
    assert interval.host.tcp["RetransSegs"] >= told
    (verdict,) = [one for one in interval.verdicts if one.rule == "retransmits"]
    assert verdict.evidence["retransmits"] == told
    # A retransmission comes after 200 ms and more, of which the server's requests know nothing.
    assert account.whole_ns < elapsed_ns / 2


def test_counters_of_tcp_are_those_of_nstat_and_of_the_tracepoints() -> None:
    counters = ("RetransSegs", "OutRsts", "EstabResets", "ListenOverflows")
    with namespace() as space, space.inside(), ExitStack() as stack:
        server = stack.enter_context(memcached(threads=1))
        observed = stack.enter_context(
            membench.observe(events=True, ports=[server.port], interval_s=None)
        )
        before = {name: told_by_nstat(name) for name in counters}
        observed.take()
        with connect(server.port) as client:
            answer(client, b"get x\r\n")
            lose_answers(server, client, 1)
            sent_again = own(server, client).retransmits
            # The client loses acknowledgements as well, so it asks again, too.
            (asked_again,) = [
                one.retransmits
                for one in diagnose(client.getsockname()[1])
                if one.peer == server.address
            ]
        for _ in range(3):
            # A reset: to close with a linger time of 0 leaves nothing to be sent.
            client = connect(server.port)
            answer(client, b"get x\r\n")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        grown = {name: told_by_nstat(name) - before[name] for name in counters}
        observed.stop()
        interval = observed.take()
    assert {name: interval.host.tcp[name] for name in counters} == grown
    assert interval.tcp_events is not None
    assert interval.tcp_events.retransmits == sent_again >= 1
    assert grown["RetransSegs"] == sent_again + asked_again
    assert interval.tcp_events.resets_received == 3
    assert interval.tcp_events.resets_sent == 0
    assert grown["EstabResets"] >= 3


def test_a_full_accept_queue_is_told() -> None:
    with namespace() as space, space.inside(), ExitStack() as stack:
        server = stack.enter_context(memcached(threads=1, arguments=("-b", "2")))
        observed = stack.enter_context(membench.observe(ports=[server.port], interval_s=None))
        observed.take()
        server.freeze()
        waiting = []
        for _ in range(8):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", server.port))
            waiting.append(client)

        def listener() -> Diagnosed:
            listening = (one for one in diagnose(server.port) if one.is_listening)
            return max(listening, key=lambda one: one.received)

        until(lambda: listener().received > listener().sending, "a full queue")
        until(lambda: told_by_nstat("ListenOverflows") > 0, "an overflow")
        lines = told_by_ss("-ltnH", f"sport = :{server.port}").splitlines()
        listed = max((line.split()[1:3] for line in lines), key=lambda line: int(line[0]))
        full = observed.take()
        server.thaw()
    health = full.servers[0].tcp
    assert health is not None
    assert [str(health.accept_queue), str(health.accept_limit)] == listed
    assert health.accept_limit == 2
    assert "accept-queue" in [one.rule for one in full.verdicts]
    assert full.host.tcp["ListenOverflows"] > 0


def test_no_privilege_is_needed(server: Memcached) -> None:
    code = (
        "import sys, membench;"
        f"observed = membench.observe(ports=[{server.port}], interval_s=None);"
        "interval = observed.take();"
        "print(interval.servers[0].tcp.connections, sorted(interval.host.tcp))"
    )
    with connect(server.port) as client:
        answer(client, b"get x\r\n")
        command = [*with_capabilities(), sys.executable, "-c", code]
        told = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment()
        )
    assert told.returncode == 0, told.stderr
    amount, _, names = told.stdout.partition(" ")
    # The client, and the observation's own question for the counters.
    assert int(amount) == 2
    assert set(COUNTERS[:4]) <= set(os.fsdecode(names.strip("[]\n")).replace("'", "").split(", "))
