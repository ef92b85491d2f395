"""A server that answers every line with `END`, and shares its connection between processes.

Run as `python -m support.sharing HOW PORT`, HOW one of `MODES`: it serves one connection and ends.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.process import started

ANSWER = b"END\r\n"
#: Requests before a connection changes hands.
STINT = 5
MODES = ("passed", "forked", "duplicated", "mapped")


@contextmanager
def sharing(how: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """Start the server and wait until it listens; kill it when the block ends."""
    command = [sys.executable, "-m", "support.sharing", how, str(port)]
    with started(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "listening\n"
        yield server


def ask(peer: socket.socket, requests: int) -> int:
    """Send requests one at a time; return the number of bytes sent."""
    sent = 0
    for number in range(requests):
        request = b"get k%d\r\n" % number
        peer.sendall(request)
        assert peer.recv(len(ANSWER), socket.MSG_WAITALL) == ANSWER
        sent += len(request)
    return sent


def _serve(peer: socket.socket, requests: int) -> bool:
    """Answer `requests` requests; return false once the client is gone."""
    for _ in range(requests):
        if not peer.recv(4096):
            return False
        peer.sendall(ANSWER)
    return True


def _pass_on(peer: socket.socket) -> None:
    """Serve the first requests here, the rest in a process that is passed the socket."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    child = os.fork()
    if child == 0:
        peer.close()
        _, descriptors, *_ = socket.recv_fds(there, 1, 1)
        with socket.socket(fileno=descriptors[0]) as passed:
            while _serve(passed, 1):
                pass
        os._exit(0)
    _serve(peer, STINT)
    socket.send_fds(here, [b"x"], [peer.fileno()])
    peer.close()
    os.waitpid(child, 0)


def _take_turns(peer: socket.socket) -> None:
    """Serve in turns from two processes that share the socket; a token says whose turn it is."""
    here, there = socket.socketpair()
    child = os.fork()
    (mine, other) = (there, here) if child == 0 else (here, there)
    other.close()
    serving = child != 0
    while serving or mine.recv(1):
        if not _serve(peer, STINT):
            break
        mine.send(b"x")
        serving = False
    mine.close()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _duplicate(peer: socket.socket) -> None:
    """Serve through two descriptors of one socket, in turns."""
    with peer.dup() as other:
        while _serve(peer, STINT) and _serve(other, STINT):
            pass


def _main(how: str, port: int) -> None:
    family = socket.AF_INET6 if how == "mapped" else socket.AF_INET
    with socket.create_server(
        ("", port), family=family, dualstack_ipv6=how == "mapped"
    ) as listening:
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        peer, _ = listening.accept()
        with peer:
            {"passed": _pass_on, "forked": _take_turns, "duplicated": _duplicate}.get(
                how, _duplicate
            )(peer)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
