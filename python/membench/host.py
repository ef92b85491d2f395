"""/proc and /sys → what this machine is, what this process may do, and which memcached listens."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# Capabilities that matter here, by their number in linux/capability.h.
CAPABILITIES = {
    12: "CAP_NET_ADMIN",
    13: "CAP_NET_RAW",
    19: "CAP_SYS_PTRACE",
    21: "CAP_SYS_ADMIN",
    38: "CAP_PERFMON",
    39: "CAP_BPF",
}
_LISTEN = "0A"
_ANSWER_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine, as far as capturing depends on it."""

    system: str
    kernel: str
    architecture: str
    cpus: int
    btf: bool
    lockdown: str
    container: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who runs this process, and which capabilities of interest it holds."""

    uid: int
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A listening server; what it did not tell is None."""

    port: int
    pid: int | None
    version: str | None
    threads: int | None
    connections: int | None
    requests_per_s: float | None


def read_machine() -> Machine:
    """Look at this machine."""
    return Machine(
        system=platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpus=os.cpu_count() or 1,
        btf=Path("/sys/kernel/btf/vmlinux").exists(),
        lockdown=parse_lockdown(_read(Path("/sys/kernel/security/lockdown"))),
        container=_find_container(),
    )


def read_identity() -> Identity:
    """Look at this process."""
    return Identity(os.geteuid(), parse_capabilities(_read(PROC / "self/status")))


def find_target(port: int) -> Target | None:
    """Find the server that listens on `port` and ask it who it is; None when there is none."""
    inodes = set(_listening_inodes(port))
    if not inodes:
        return None
    answers = _ask(port)
    return Target(
        port=port,
        pid=_find_process(inodes),
        version=answers.get("version"),
        threads=_number(answers.get("threads")),
        connections=_number(answers.get("curr_connections")),
        requests_per_s=None,
    )


def parse_capabilities(status: str) -> tuple[str, ...]:
    """Read the effective capabilities of interest from a `/proc/PID/status`."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return tuple(name for bit, name in CAPABILITIES.items() if held >> bit & 1)
    return ()


def parse_lockdown(text: str) -> str:
    """Read the chosen mode from `none [integrity] confidentiality`."""
    chosen = [word.strip("[]") for word in text.split() if word.startswith("[")]
    return chosen[0] if chosen else "none"


def parse_listening(table: str, port: int) -> list[int]:
    """Read the inodes of sockets listening on `port` from a `/proc/net/tcp` table."""
    inodes = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.append(int(fields[9]))
    return inodes


def parse_statistics(reply: str) -> dict[str, str]:
    """Read the `STAT name value` lines of a memcached."""
    lines = (line.split(" ", 2) for line in reply.splitlines() if line.startswith("STAT "))
    return {line[1]: line[2] for line in lines if len(line) == len(("STAT", "name", "value"))}


def _listening_inodes(port: int) -> Iterator[int]:
    for table in ("tcp", "tcp6"):
        yield from parse_listening(_read(PROC / "net" / table), port)


def _find_process(inodes: set[int]) -> int | None:
    names = {f"socket:[{inode}]" for inode in inodes}
    for process in PROC.iterdir():
        if process.name.isdecimal() and any(link in names for link in _open_files(process)):
            return int(process.name)
    return None


def _open_files(process: Path) -> Iterator[str]:
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                yield str(descriptor.readlink())


def _ask(port: int) -> dict[str, str]:
    """Ask for `stats`; whatever does not answer as memcached does gives nothing."""
    reply = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), _ANSWER_TIMEOUT_S) as one:
        one.sendall(b"stats\r\n")
        while not reply.endswith((b"END\r\n", b"ERROR\r\n")):
            received = one.recv(65536)
            if not received:
                break
            reply += received
    return parse_statistics(reply.decode("latin-1"))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _find_container() -> str | None:
    for mark, name in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        if Path(mark).exists():
            return name
    return _read(Path("/run/systemd/container")).strip() or None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
