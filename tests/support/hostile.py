"""Streams that no honest client or server sends, named by what is wrong with them."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

MB = 1 << 20
#: Upper bound for the memory of a recording of a few MB, bytes.
BOUND = 512 * MB


class Stream(NamedTuple):
    """All bytes that a client sends, and all that a server answers."""

    requests: bytes
    responses: bytes = b""


def _binary(magic: int, opcode: int, key: int, extras: int, body: int) -> bytes:
    return struct.pack(">BBHBBHIIQ", magic, opcode, key, extras, 0, 0, body, 7, 0)


STREAMS = {
    "a line without end": Stream(b"x" * (10 * MB)),
    "a get without end": Stream(b"get " + b"k" * (10 * MB)),
    "keys without end": Stream(b"get " + b"k " * (5 * MB)),
    "zeros": Stream(bytes(10 * MB), bytes(MB)),
    "a request, then zeros": Stream(b"get a\r\n" + bytes(MB), b"END\r\n" + bytes(MB)),
    "a value of 2^31 bytes": Stream(b"set k 0 0 2147483648\r\n" + b"v" * MB + b"\r\nget a\r\n"),
    "a value of 2^31 - 1 bytes": Stream(b"set k 0 0 2147483647\r\n" + b"v" * MB),
    "a value of -1 bytes": Stream(b"set k 0 0 -1\r\n" + b"get a\r\n" * 100),
    "a value of 2^64 bytes": Stream(b"ms k 18446744073709551616\r\n" + b"v" * MB),
    "an answer of 2^32 - 1 bytes": Stream(b"get k\r\n", b"VALUE k 0 4294967295\r\n" + b"v" * MB),
    "an answer of 2^64 bytes": Stream(
        b"get k\r\nmg k v\r\n", b"VALUE k 0 18446744073709551616\r\n" + b"v" * MB
    ),
    "a statistic without end": Stream(b"stats\r\n", b"STAT pid 1\r\nSTAT x " + b"9" * (10 * MB)),
    "an answer without end": Stream(b"get k\r\n", b"VALUE " + b"k" * (10 * MB)),
    "answers nobody asked for": Stream(b"get k\r\n", b"END\r\n" * (MB // 5)),
    "requests nobody answers": Stream(b"get a\r\n" * (10 * MB // 7)),
    "a binary body of 2^32 - 1 bytes": Stream(
        _binary(0x80, 1, 250, 8, 0xFFFFFFFF) + b"v" * MB, _binary(0x81, 1, 0, 0, 0)
    ),
    "a binary key longer than its body": Stream(_binary(0x80, 0, 0xFFFF, 0xFF, 1) + b"v" * MB),
    "a binary answer of 2^32 - 1 bytes": Stream(
        _binary(0x80, 0, 1, 0, 1) + b"k", _binary(0x81, 0, 0, 4, 0xFFFFFFFF) + b"v" * MB
    ),
    "both protocols at once": Stream(
        (_binary(0x80, 0x0A, 0, 0, 0) + b"get a\r\n") * 1000,
        (_binary(0x81, 0x0A, 0, 0, 0) + b"END\r\n") * 1000,
    ),
}


def accounted(ledger: Any, requests: int, responses: int) -> None:  # noqa: ANN401 - any JSON
    """Fail unless the ledger counts every byte exactly once."""
    assert (ledger["request_bytes"], ledger["response_bytes"]) == (requests, responses)
    assert ledger["servers"]
    for server in ledger["servers"]:
        for flow in (server["request"], server["response"]):
            terms = [flow[name] for name in flow if name not in ("seen", "missed")]
            assert flow["seen"] == sum(terms), flow
            assert flow["missed"] == 0
