"""Load for the lessons: four connections ask memcached for keys, and store what is missing.

python load.py PORT [SECONDS]
"""

import random
import socket
import sys
import threading
import time

CONNECTIONS = 4
#: Requests per second of each connection.
RATE = 500
KEYS = 2000


def client(port: int, seed: int, end: float) -> None:
    """Send requests at a steady rate until `end`, each after the answer to the one before."""
    chance = random.Random(seed)  # noqa: S311 - traffic, not secrets
    with socket.create_connection(("127.0.0.1", port)) as connection:
        reader = connection.makefile("rb")
        due = time.monotonic()
        while due < end:
            key = b"key:%d" % min(int(chance.expovariate(1 / 200)), KEYS)
            connection.sendall(b"get %s\r\n" % key)
            if reader.readline() == b"END\r\n":
                value = bytes(int(min(chance.paretovariate(0.9) * 50, 50_000)))
                connection.sendall(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
                reader.readline()
            else:
                while reader.readline() != b"END\r\n":
                    pass
            due += 1 / RATE
            time.sleep(max(0.0, due - time.monotonic()))


def main() -> None:
    """Run all connections until the time is over."""
    port, seconds = (*sys.argv[1:], "100")[:2]
    end = time.monotonic() + float(seconds)
    clients = [
        threading.Thread(target=client, args=(int(port), seed, end), daemon=True)
        for seed in range(CONNECTIONS)
    ]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()


main()
