"""Functions of the kernel, where it lets probes be attached to them: known numbers of calls."""

from __future__ import annotations

import os
import platform
import socket

import pytest

import membench
from membench.errors import CaptureUnavailableError

pytestmark = [pytest.mark.root, pytest.mark.kernel, pytest.mark.quick]

N = 300
FUNCTION = f"__{'x64' if platform.machine() == 'x86_64' else 'arm64'}_sys_getpgid"


def attached(hook: str, **options: object) -> membench.Probe:
    """Observe a hook, narrowed to this process; skip where this kernel has no such hooks."""
    try:
        return membench.probe(hook, pids=[os.getpid()], **options)  # type: ignore[arg-type]
    except CaptureUnavailableError as error:
        if "Missing" in str(error):
            raise
        pytest.skip(f"not on this kernel: {error}")


def finished(probe: membench.Probe) -> membench.ProbeInterval:
    """End a probe; return what it counted."""
    probe.stop()
    return probe.take()


def make_calls() -> None:
    for _ in range(N):
        os.getpgid(0)


@pytest.mark.parametrize("kind", ["kprobe", "kretprobe", "fentry", "fexit"])
def test_every_call_of_a_function_is_counted(kind: str) -> None:
    with attached(f"{kind}:{FUNCTION}") as probe:
        make_calls()
        counted = finished(probe)
    assert counted.count + counted.misses == N
    assert counted.cost_ns is not None


@pytest.mark.parametrize("kind", ["kretprobe", "fexit"])
def test_the_result_of_a_function_is_the_one_that_was_returned(kind: str) -> None:
    group = os.getpgid(0)
    linear = (group, group + 2, 1)
    with attached(f"{kind}:{FUNCTION}", histogram="ret:i32", linear=linear) as probe:
        make_calls()
        counted = finished(probe)
    assert counted.histogram is not None
    (bucket,) = counted.histogram.buckets
    assert bucket == membench.Bucket(group, group + 1, counted.count)
    assert counted.count + counted.misses == N


@pytest.mark.parametrize("kind", ["kprobe", "fentry"])
def test_every_call_of_a_function_is_timed(kind: str) -> None:
    with attached(f"{kind}:{FUNCTION}", latency=True, stacks=True) as probe:
        make_calls()
        counted = finished(probe)
    assert counted.count + counted.misses >= N
    assert counted.histogram is not None
    assert counted.histogram.count == counted.count
    assert counted.stacks


@pytest.mark.parametrize("kind", ["kprobe", "kretprobe", "fentry", "fexit"])
def test_calls_on_another_port_are_filtered_in_the_kernel(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            for wanted, expected in ((port, N), (1, 0)):
                with attached(f"{kind}:tcp_sendmsg", ports=[wanted]) as probe:
                    for _ in range(N):
                        client.send(b"x")
                    counted = finished(probe)
                assert counted.count == (expected - counted.misses if expected else 0)


@pytest.mark.parametrize("kind", ["kprobe", "fentry"])
def test_the_argument_of_a_function_is_known_by_its_name(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)) as client,
            attached(f"{kind}:tcp_sendmsg", ports=[port], histogram="size") as probe,
        ):
            for _ in range(N):
                client.send(bytes(100))
            counted = finished(probe)
    assert counted.histogram is not None
    assert counted.histogram.mean == 100
