"""TCP and UDP ports reserved for one test, against every other run on the machine."""

from __future__ import annotations

import atexit
import random
import socket
from collections import deque

#: Range to choose from, below the kernel's ephemeral ports.
PORTS = (12_000, 32_000)
#: Number of reservations that are kept: more than one test uses.
_KEPT = 64
_reserved: deque[socket.socket] = deque()


def free_port() -> int:
    """Return a port that nothing uses; it stays reserved until `_KEPT` more have been returned.

    The reservation is a bound socket that does not listen. Other reservations bind without
    SO_REUSEADDR and are refused; servers bind with it and are not.
    """
    while True:
        port = random.SystemRandom().randrange(*PORTS)
        reservation = socket.socket()
        try:
            reservation.bind(("", port))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                datagrams.bind(("", port))
        except OSError:
            reservation.close()
            continue
        # After `bind`: set before it, the option would let two reservations share the port.
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _reserved.append(reservation)
        while len(_reserved) > _KEPT:
            _reserved.popleft().close()
        return port


@atexit.register
def _release() -> None:
    while _reserved:
        _reserved.pop().close()
