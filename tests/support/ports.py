"""TCP and UDP ports that belong to one test: nothing else on the machine is given them."""

from __future__ import annotations

import atexit
import random
import socket
from collections import deque

#: Range to choose from, below the ports that the kernel gives to whoever connects.
PORTS = (12_000, 32_000)
#: Number of ports reserved at once: more than one test uses.
_KEPT = 64
_reserved: deque[socket.socket] = deque()


def free_port() -> int:
    """Return a port that nothing uses, and reserve it until many others have been asked for.

    The reservation is a bound socket that does not listen. It refuses every other reservation,
    since those bind without SO_REUSEADDR, and no server, since servers bind with it.
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
        # After `bind`: with it set before, two reservations would be granted the same port.
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _reserved.append(reservation)
        while len(_reserved) > _KEPT:
            _reserved.popleft().close()
        return port


@atexit.register
def _release() -> None:
    while _reserved:
        _reserved.pop().close()
