"""`/proc` of a process that may end at any moment → its text, or nothing once it is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from support.waiting import until

#: ENOENT: no such entry any more. ESRCH: the task ended after its file was opened.
GONE = (FileNotFoundError, ProcessLookupError)


def read(path: Path) -> str | None:
    """Return the text of a file in `/proc`, or None if what it describes is gone."""
    try:
        return path.read_text()
    except GONE:
        return None


def entries(folder: Path) -> list[Path]:
    """Return the entries of a folder in `/proc`; none if the process is gone."""
    try:
        return list(folder.iterdir())
    except GONE:
        return []


def tasks(pid: int, name: str) -> dict[int, str]:
    """Return the file `name` of each thread of a process, by thread id."""
    read_of = ((int(task.name), read(task / name)) for task in entries(Path(f"/proc/{pid}/task")))
    return {thread: text for thread, text in read_of if text is not None}


def descriptors(pid: int) -> Iterator[str]:
    """Yield `/proc/PID/fdinfo/N` of each descriptor that is still open when it is read."""
    for entry in entries(Path(f"/proc/{pid}/fdinfo")):
        if (text := read(entry)) is not None:
            yield text


def sockets(pid: int) -> set[str]:
    """Return the inode numbers of the sockets that a process holds open."""
    links = set()
    for entry in entries(Path(f"/proc/{pid}/fd")):
        try:
            links.add(str(entry.readlink()))
        except GONE:
            continue
    return {link.removeprefix("socket:[").removesuffix("]") for link in links if "socket:" in link}


def children(pid: int) -> list[int]:
    """Return the processes that a process's main thread has started and that still exist."""
    text = read(Path(f"/proc/{pid}/task/{pid}/children"))
    return [int(child) for child in (text or "").split()]


def signal_children(pid: int, number: signal.Signals) -> None:
    """Send a signal to each child of a process that still exists."""
    for child in children(pid):
        try:
            os.kill(child, number)
        except ProcessLookupError:
            continue


def stat(text: str) -> list[str]:
    """Return the fields of a `stat` file that follow the name, the state first."""
    return text.rpartition(")")[2].split()


def states(pid: int) -> set[str]:
    """Return the states of a process's threads, as `stat` abbreviates them: R, S, T, Z, …"""
    return {stat(text)[0] for text in tasks(pid, "stat").values()}


def stop(pid: int) -> None:
    """Send SIGSTOP and wait until every thread has stopped: the signal alone returns earlier."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: states(pid) == {"T"}, f"process {pid} stopping")


def tcp_rows(pid: int | str = "self") -> list[list[str]]:
    """Return the columns of every TCP socket in a process's network namespace, v4 and v6.

    Where others connect and close meanwhile, the kernel prints some sockets twice: the addresses
    and the inode number tell them.
    """
    texts = (read(Path(f"/proc/{pid}/net/{name}")) for name in ("tcp", "tcp6"))
    rows = (row.split() for text in texts if text for row in text.splitlines()[1:])
    return list({(row[1], row[2], row[9]): row for row in rows}.values())
