"""A private memcached, bare and recorded in turn → the cost of recording an operation here."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from membench._demo.server import private_memcached
from membench._doctor.forecast import OperationCost
from membench.errors import CaptureUnavailableError

_ROUNDS = 3
_SECONDS = 1.0
_REQUESTS = 16
_VALUE = b"v" * 100
_BEHIND = "; the recorder fell behind: this machine has no CPU to spare"


@dataclass(frozen=True, slots=True)
class _Round:
    operations: int
    server_s: float


def calibrate() -> OperationCost:
    """Measure the cost, which takes some ten seconds.

    Raises:
        CaptureUnavailableError: There is no memcached, or recording does not work.
    """
    with private_memcached() as port, socket.create_connection(("127.0.0.1", port), 5) as client:
        _load(client, 0.2)
        costs, recordings = [], []
        for _ in range(_ROUNDS):
            bare = _load(client, _SECONDS)
            recorded, recording = _record(port, client)
            costs.append(_each(recorded) - _each(bare))
            recordings.append(recording)
    cost = [one["cost"] for one in recordings]
    return OperationCost(
        recorder_ns=statistics.median(one["ns_per_event"] or 0.0 for one in cost),
        server_ns=max(0.0, statistics.median(costs)),
        bytes=statistics.median(one["bytes_per_event"] or 0.0 for one in cost),
        measured=f"measured here, {_REQUESTS} requests in a write, median of {_ROUNDS} rounds"
        + _BEHIND * any(not one["ledger"]["complete"] for one in recordings),
    )


def _each(done: _Round) -> float:
    return done.server_s / done.operations * 1e9


def _record(port: int, client: socket.socket) -> tuple[_Round, dict[str, dict[str, float]]]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "membench", "record", "ebpf:any"]
        options = ["--port", str(port), "--no-stats", "--format", "json", "--min-free", "none"]
        options += ["--allow-loss", "100"]
        recorder = subprocess.Popen(
            [*command, str(Path(folder, "calibration.mb")), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert recorder.stderr is not None  # noqa: S101 - it is piped
        try:
            first = recorder.stderr.readline()
            done = _load(client, _SECONDS)
            recorder.terminate()
            output, errors = recorder.communicate(timeout=60)
        finally:
            recorder.kill()
            recorder.wait()
    if recorder.returncode:
        raise CaptureUnavailableError(f"calibrating: {(first + errors).decode().strip()}")
    return done, json.loads(output)


def _load(client: socket.socket, seconds: float) -> _Round:
    """Send get hits and sets in turn, `_REQUESTS` in a write, for the given time."""
    store = b"set membench-calibration 0 0 %d\r\n%s\r\n" % (len(_VALUE), _VALUE)
    requests = (store + b"get membench-calibration\r\n") * (_REQUESTS // 2)
    hit = b"VALUE membench-calibration 0 %d\r\n%s\r\nEND\r\n" % (len(_VALUE), _VALUE)
    answer = len(b"STORED\r\n" + hit) * (_REQUESTS // 2)
    operations, before, end = 0, _cpu_s(client), time.monotonic() + seconds
    while time.monotonic() < end:
        client.sendall(requests)
        left = answer
        while left:
            left -= len(_receive(client, left))
        operations += _REQUESTS
    return _Round(operations, _cpu_s(client) - before)


def _cpu_s(client: socket.socket) -> float:
    client.sendall(b"stats\r\n")
    reply = b""
    while not reply.endswith(b"END\r\n"):
        reply += _receive(client, 65536)
    lines = (line.split() for line in reply.decode().splitlines() if "rusage_" in line)
    return sum(float(line[2]) for line in lines)


def _receive(client: socket.socket, most: int) -> bytes:
    received = client.recv(most)
    if not received:
        raise CaptureUnavailableError("calibrating: memcached ended")
    return received
