"""/proc, /sys and a port → the machine, this process's capabilities, and the memcached there."""

from __future__ import annotations

import math
import os
import platform
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# Capabilities that recording may need, by their number in linux/capability.h.
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
# Bytes of an answer to `stats`, several times what memcached's has.
_LONGEST_ANSWER = 1 << 18
# Digits of 2^64.
_MOST_DIGITS = 20
# Time between the two looks at a server's counters that give its rate, s.
_WATCH_S = 1.0
_OPERATIONS = frozenset({"cmd_get", "cmd_set", "cmd_touch", "cmd_meta"}) | {
    f"{command}_{outcome}"
    for command in ("delete", "incr", "decr")
    for outcome in ("hits", "misses")
}
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine, as far as capturing depends on it.

    Attributes:
        system: `Linux`, for example.
        kernel: The kernel's release.
        architecture: `x86_64`, for example.
        cpus: Number of CPUs.
        btf: True if the kernel exposes its types (BTF), which the programs need.
        lockdown: The kernel's lockdown mode: `none`, `integrity` or `confidentiality`.
        container: The kind of container that this process runs in, if any.
    """

    system: str
    kernel: str
    architecture: str
    cpus: int
    btf: bool
    lockdown: str
    container: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that runs this process, and its effective capabilities.

    Attributes:
        uid: Effective user id.
        capabilities: The capabilities it holds, of those that recording may need.
        user_namespace: True if it runs in a user namespace, as in a rootless container: what it
            holds there does not count for loading programs or for the host's sockets.
    """

    uid: int
    capabilities: tuple[str, ...]
    user_namespace: bool = False


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket.

    Attributes:
        address: An address at which it answers.
        inode: Its inode number, which names it in `/proc/PID/fd`.
    """

    address: str
    inode: int


@dataclass(frozen=True, slots=True)
class Server:
    """A listening server; None stands for a fact it did not tell.

    Attributes:
        port: Its listening port.
        pid: Its process id.
        version: Its version.
        threads: Its worker threads.
        connections: Its open connections.
        operations_per_s: Its rate.
        cpus_used: CPUs that it uses.
        watchable: True if it answers `watch`, so that its log can be recorded.
    """

    port: int
    pid: int | None
    version: str | None
    threads: int | None
    connections: int | None
    operations_per_s: float | None
    cpus_used: float | None = None
    watchable: bool = False


def read_machine() -> Machine:
    """Describe this machine."""
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
    """Describe this process."""
    return Identity(
        os.geteuid(),
        parse_capabilities(_read(PROC / "self/status")),
        is_user_namespace(_read(PROC / "self/uid_map")),
    )


def is_user_namespace(uid_map: str) -> bool:
    """Return True unless `/proc/self/uid_map` maps all users to themselves, as at first."""
    return bool(uid_map.split()) and uid_map.split() != ["0", "0", str((1 << 32) - 1)]


def find_server(port: int) -> Server | None:
    """Find the server that listens on `port` and ask it for its counters; None if none does."""
    listeners = [one for table in ("tcp", "tcp6") for one in _read_listeners(table, port)]
    if not listeners:
        return None
    address = listeners[0].address
    rates = _watch(address, port)
    return Server(
        port=port,
        pid=find_process({listener.inode for listener in listeners})
        or whole_number(rates.answers.get("pid")),
        version=rates.answers.get("version"),
        threads=whole_number(rates.answers.get("threads")),
        connections=whole_number(rates.answers.get("curr_connections")),
        operations_per_s=rates.operations_per_s,
        cpus_used=rates.cpus_used,
        watchable=bool(rates.answers) and _answers_watch(address, port),
    )


def parse_capabilities(status: str) -> tuple[str, ...]:
    """Read the effective capabilities, of those in `CAPABILITIES`, from a `/proc/PID/status`."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return tuple(name for bit, name in CAPABILITIES.items() if held >> bit & 1)
    return ()


def parse_lockdown(text: str) -> str:
    """Read the active mode from `none [integrity] confidentiality`."""
    chosen = [word.strip("[]") for word in text.split() if word.startswith("[")]
    return chosen[0] if chosen else "none"


def parse_listeners(table: str, port: int) -> list[Listener]:
    """Read the sockets listening on `port` from a `/proc/net/tcp` or `tcp6` table.

    The kernel may print a socket twice where others begin and end meanwhile; it is listed once.
    """
    found: list[Listener] = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        address, _, number = fields[1].rpartition(":")
        if fields[3] == _LISTEN and int(number, 16) == port:
            listener = Listener(_parse_address(address), int(fields[9]))
            if listener not in found:
                found.append(listener)
    return found


def parse_statistics(reply: str) -> dict[str, str]:
    """Read the `STAT name value` lines of a memcached."""
    lines = (line.split(" ", 2) for line in reply.splitlines() if line.startswith("STAT "))
    return {line[1]: line[2] for line in lines if len(line) == len(("STAT", "name", "value"))}


def _read_listeners(table: str, port: int) -> list[Listener]:
    return parse_listeners(_read(PROC / "net" / table), port)


def _parse_address(text: str) -> str:
    """Read an address written as 32-bit words in the machine's (little-endian) order."""
    raw = bytes.fromhex(text)
    address = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    family = socket.AF_INET if len(address) == len("IPv4") else socket.AF_INET6
    name = socket.inet_ntop(family, address)
    return _LOOPBACK.get(name, name)


def find_process(inodes: set[int]) -> int | None:
    """Return the process that holds one of these sockets; None if this user sees none."""
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


@dataclass(frozen=True, slots=True)
class _Rates:
    answers: dict[str, str]
    operations_per_s: float | None = None
    cpus_used: float | None = None


def _watch(address: str, port: int) -> _Rates:
    """Ask for `stats` twice; return the last answer and rates, nothing if it is no memcached."""
    try:
        with socket.create_connection((address, port), _ANSWER_TIMEOUT_S) as server:
            first, begun = _ask(server), time.monotonic()
            if not first:
                return _Rates({})
            time.sleep(_WATCH_S)
            last, ended = _ask(server), time.monotonic()
    except OSError:
        return _Rates({})
    grown = _count_operations(last) - _count_operations(first)
    seconds = ended - begun
    return _Rates(last, grown / seconds, (_cpu_s(last) - _cpu_s(first)) / seconds)


def _cpu_s(statistics: dict[str, str]) -> float:
    return sum(_seconds(statistics.get(name)) for name in ("rusage_user", "rusage_system"))


def _seconds(text: str | None) -> float:
    """Return a time in s as the server wrote it; 0 if it is none."""
    try:
        seconds = float(text or "0")
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0


def _answers_watch(address: str, port: int) -> bool:
    """Return True if the server lets this connection watch its log."""
    try:
        with socket.create_connection((address, port), _ANSWER_TIMEOUT_S) as server:
            server.sendall(b"watch mutations\r\n")
            return server.recv(64).startswith(b"OK")
    except OSError:
        return False


def _ask(server: socket.socket) -> dict[str, str]:
    """Ask for `stats`; return nothing if the answer is not memcached's, too long, or too slow."""
    server.sendall(b"stats\r\n")
    reply, deadline = bytearray(), time.monotonic() + _ANSWER_TIMEOUT_S
    while not reply.endswith((b"END\r\n", b"ERROR\r\n")):
        left = deadline - time.monotonic()
        if left <= 0 or len(reply) > _LONGEST_ANSWER:
            return {}
        server.settimeout(left)
        received = server.recv(65536)
        if not received:
            return {}
        reply += received
    return parse_statistics(reply.decode("latin-1"))


def _count_operations(statistics: dict[str, str]) -> int:
    return sum(whole_number(statistics.get(name)) or 0 for name in _OPERATIONS)


def whole_number(text: str | None) -> int | None:
    """Read a counter as the kernel or a server writes it; None if it is none."""
    is_number = text is not None and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if text is not None and is_number else None


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
