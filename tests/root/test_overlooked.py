"""Programs that the kernel skips because they are running: counted, and no byte is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import proc
from support.cli import membench
from support.namespace import Namespace, namespace
from support.recorded_pair import assert_complete, balanced_ledger, recorded_pair
from support.waiting import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.cpu_count() == 1, reason="one CPU: nothing interrupts it from another"),
]

#: CPU mask for the packets that a namespace's loopback receives.
STEERING = "/sys/class/net/lo/queues/rx-0/rps_cpus"
#: Field of a program's `fdinfo` that counts skipped runs.
COUNT = "recursion_misses:"
#: Program that changes the state of one socket in a loop, by system calls on the first CPU.
CHANGING = """
import os, socket, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
own = socket.socket()
own.bind(("127.0.0.1", 0))
while True:
    own.listen()
    own.shutdown(socket.SHUT_RDWR)
"""
#: Program that makes and resets connections; their packets change states in interrupts.
CONNECTING = """
import os, socket, struct, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
listening = socket.create_server(("127.0.0.1", 0))
while True:
    client = socket.create_connection(listening.getsockname())
    server, _ = listening.accept()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    client.close()
"""


def steer(space: Namespace, cpu: int) -> None:
    """Process all packets of the namespace's loopback on one CPU."""
    script = f"mount -t sysfs sysfs /sys && echo {1 << cpu:x} > {STEERING}"
    inside = ["nsenter", f"--net={space.path}", "unshare", "--mount", "sh", "-c", script]
    done = subprocess.run(inside, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"packets cannot be steered to a CPU here: {done.stderr.strip()}")


@contextmanager
def storm() -> Iterator[None]:
    """Change socket states on a CPU that is interrupted by state changes of other sockets."""
    one, other = sorted(os.sched_getaffinity(0))[:2]
    with namespace() as space:
        steer(space, one)
        with space.inside():
            running = [
                subprocess.Popen([sys.executable, "-c", code, str(cpu)])
                for code, cpu in ((CHANGING, one), (CONNECTING, other))
            ]
        try:
            yield
        finally:
            for process in running:
                process.kill()
                process.wait()


def overlooked(pid: int) -> int:
    """Return the number of runs of a process's programs that the kernel skipped."""
    lines = [line for text in proc.descriptors(pid) for line in text.splitlines()]
    counts = [int(line.split()[1]) for line in lines if line.startswith(COUNT)]
    if not counts:
        pytest.skip("Linux before 5.12 does not count them")
    return sum(counts)


def test_ends_that_were_overlooked_are_counted_and_cost_no_byte(output: Path, hooks: str) -> None:
    with recorded_pair(output, "--hooks", hooks) as pair:
        pair.exchange(0)
        with storm():
            until(lambda: overlooked(pair.recorder.pid), "a program that was not run")
        pair.exchange(1)
        least = overlooked(pair.recorder.pid)
        pair.recorder.stop().expect(0)
    assert_complete(output, pair, 2)
    counted = balanced_ledger(output, pair)["misses_aside"]
    assert 0 < least <= counted
    assert (
        f"{counted:,} socket state changes were missed" in membench("info", output).expect(0).stdout
    )
