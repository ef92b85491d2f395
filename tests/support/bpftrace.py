"""bpftrace beside a workload of a known size: the same question, answered by another tool."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from support.process import started
from support.waiting import DEADLINE

# The workload waits for a line, so that both are attached before it begins.
WORKLOAD = """
import os, socket, sys
sys.stdin.readline()
for _ in range(400):
    os.getppid()
for size in (1, 3, 10, 100, 1000, 5000):
    for _ in range(50):
        reader, writer = os.pipe()
        os.write(writer, bytes(size))
        os.read(reader, size)
        os.close(reader)
        os.close(writer)
with socket.create_server(("127.0.0.1", 0)) as server:
    for _ in range(60):
        with socket.create_connection(server.getsockname()) as client:
            client.send(bytes(333))
            accepted, _ = server.accept()
            accepted.recv(1000)
            accepted.close()
sys.stdout.write("done\\n")
sys.stdout.flush()
sys.stdin.readline()
"""


@contextmanager
def workload() -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started([sys.executable, "-c", WORKLOAD], **pipes) as process:
        yield process


def run(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def end(process: subprocess.Popen[str]) -> None:
    """End it by Ctrl-C, more than once if need be.

    One that comes just before bpftrace waits for events, without a timeout, wakes it only by the
    next.
    """
    for _ in range(int(DEADLINE)):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
            return
    raise AssertionError("bpftrace does not end")


@contextmanager
def bpftrace(script: str, results: dict[str, object]) -> Iterator[None]:
    """Run bpftrace beside the block; its maps are in `results` after that."""
    assert shutil.which("bpftrace"), "apt-get install bpftrace"
    # It needs tracefs, which need not be mounted here: it gets file systems of its own.
    mounts = (
        "mount -t tracefs tracefs /sys/kernel/tracing && mount -t debugfs debugfs /sys/kernel/debug"
    )
    command = ["unshare", "--mount", "sh", "-c", f'{mounts}; exec bpftrace -f json -e "$1"', "sh"]
    script = f'BEGIN {{ printf("attached\\n"); }} {script}'
    with started([*command, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines: list[str] = []
        ready = threading.Event()

        def collect() -> None:
            for line in filter(str.strip, process.stdout or ()):
                lines.append(line)
                if json.loads(line)["type"] == "printf":
                    ready.set()
            ready.set()

        thread = threading.Thread(target=collect)
        thread.start()
        ready.wait()
        assert lines, process.stderr and process.stderr.read()
        yield
        end(process)
        thread.join()
    for line in lines:
        told = json.loads(line)
        if told["type"] in ("map", "hist"):
            results.update(told["data"])


def agree(ours: dict[int, int], theirs: dict[int, int]) -> None:
    """Assert that two sets of counts agree within 1 %, and that there is something to agree on."""
    assert ours.keys() == theirs.keys()
    assert sum(ours.values()) > 300
    for key, count in ours.items():
        assert abs(count - theirs[key]) <= count / 100, key
