"""The `memcached` program → a private server on a free loopback port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from membench.errors import CaptureUnavailableError

_START_S = 5.0
_LOOK_AGAIN_S = 0.01


@contextmanager
def private_memcached(memory_mb: int = 64) -> Iterator[int]:
    """Run a private memcached and yield its port.

    Raises:
        CaptureUnavailableError: There is no memcached on this machine, or it does not start.
    """
    program = shutil.which("memcached")
    if program is None:
        raise CaptureUnavailableError(
            "there is no `memcached` on this machine",
            "`apt-get install memcached`, or the package of your system",
        )
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder, "port")
        process = _start(program, memory_mb, port_file)
        try:
            yield _wait_for_port(process, port_file)
        finally:
            process.terminate()
            process.wait()


def _start(program: str, memory_mb: int, port_file: Path) -> subprocess.Popen[bytes]:
    user = pwd.getpwuid(os.geteuid()).pw_name
    # Port -1 lets the kernel choose; memcached writes the chosen port into the file.
    arguments = ["-p", "-1", "-U", "0", "-l", "127.0.0.1", "-u", user, "-m", str(memory_mb)]
    return subprocess.Popen(
        [program, *arguments, "-t", "2"],
        env=os.environ | {"MEMCACHED_PORT_FILENAME": str(port_file)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_for_port(process: subprocess.Popen[bytes], port_file: Path) -> int:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        text = port_file.read_text() if port_file.exists() else ""
        if text.endswith("\n") and _accepts(port := int(text.split()[-1])):
            return port
        time.sleep(_LOOK_AGAIN_S)
    raise CaptureUnavailableError(
        "the private memcached did not start", "run `memcached -v` to see why"
    )


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False
