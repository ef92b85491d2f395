"""`FOLDER SECONDS COMMAND…` → runs a memcached as its own tests' `timedrun` does.

Told to end, it asks the server for its counters first, and keeps them in the folder.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from support.server import StatsConnection, is_idle
from support.waiting import until

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGTERM)
#: Longest wait for an answer, s: a server that hangs has none.
LONGEST = 10


def endpoint(arguments: list[str]) -> int | Path | None:
    """Return where the server listens, by its arguments."""
    told = dict(itertools.pairwise(arguments))
    if "-s" in told:
        return Path(told["-s"])
    return int(told["-p"]) if told.get("-p", "").isdigit() else None


def counters(place: int | Path, pid: int) -> dict[str, object] | None:
    """Return its counters once two answers of an idle server agree.

    A worker counts what it has sent after that, and sleeps then.
    """
    connection = StatsConnection(place, timeout=LONGEST)
    last = None
    while True:
        until(lambda: is_idle(pid), "memcached being idle")
        stats = connection.ask()
        if int(stats["pid"]) != pid:
            return None
        own = connection.request_bytes, connection.response_bytes - connection.replies[-1]
        moved = int(stats["bytes_read"]) - own[0], int(stats["bytes_written"]) - own[1]
        if moved == last:
            reply = connection.replies[-1]
            return {"pid": pid, "test": os.environ["TEST"], "stats": stats, "reply": reply}
        last = moved


def main() -> int:
    """Run it to its end."""
    folder, command = Path(sys.argv[1]), sys.argv[3:]
    child = subprocess.Popen(command)

    def end(number: int, _frame: object) -> None:
        place = endpoint(command)
        with contextlib.suppress(OSError, KeyError, IndexError, AssertionError):
            told = place and counters(place, child.pid)
            if told:
                (folder / str(child.pid)).write_text(json.dumps(told))
        child.send_signal(number)

    for number in SIGNALS:
        signal.signal(number, end)
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
