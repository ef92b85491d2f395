"""Pipelines of quiet and loud requests on a real memcached: each outcome that the answers tell."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import NamedTuple

import pytest

from support.cli import read_info, recorder
from support.profile import Row, by_connection, events
from support.server import connect, memcached

pytestmark = [pytest.mark.root, pytest.mark.memcached, pytest.mark.kernel, pytest.mark.quick]

END = b"mn\r\n"
ENDED = b"MN\r\n"
NOOP, NOOP_ENDED = (bytes([magic, 0x0A]) + bytes(22) for magic in (0x80, 0x81))
REFUSED = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
HIT = b"VA 1\r\n5\r\n"


class Pipeline(NamedTuple):
    """Requests sent in one write, and the events that they become.

    `{}` stands for a key of the pipeline's own, `[]` for another, which does not exist. `?` is an
    outcome that the answers do not tell.
    """

    #: Requests before the recording.
    before: bytes
    sent: bytes
    events: str
    #: Answers after which the last request is sent in a write of its own; None if it is sent with
    #: the others.
    answered: bytes | None = None


def message(opcode: int, key: bytes = b"", extras: bytes = b"", value: bytes = b"") -> bytes:
    """Return a binary request whose opaque value is 0, as many clients send it."""
    sizes = len(key), len(extras), 0, 0, len(key) + len(extras) + len(value)
    return struct.pack("!BBHBBHIIQ", 0x80, opcode, *sizes, 0, 0) + extras + key + value


TEXT = b"set {} 0 0 3\r\nval\r\n"
ONE = b"set {} 0 0 1\r\n5\r\n"
LINES = [
    Pipeline(b"", b"mg {} k q v\r\nms {} 1 q\r\nx\r\nmg {} k q v\r\n", "mg ? ms suppressed mg ?"),
    Pipeline(ONE, b"md {} k q\r\nmd {} k q\r\n", "md ? md ?"),
    Pipeline(TEXT, b"ma {} q\r\nmg {} q\r\n", "ma client_error mg hit"),
    Pipeline(ONE, b"md [] q\r\nma [] q\r\nmg {} q\r\n", "md not_found ma not_found mg hit"),
    Pipeline(TEXT, b"ma {} q v\r\nmg {} q v\r\n", "ma client_error mg hit:3"),
    Pipeline(TEXT, b"ma {} O1 q\r\nma {} O2 q\r\n", "ma client_error ma client_error"),
    Pipeline(
        TEXT,
        b"mg [] O1 q\r\nma {} O2 q\r\nma [] O1 q\r\n",
        "mg suppressed ma client_error ma not_found",
    ),
    Pipeline(b"", b"mg [] q k\r\nms [] 1 k\r\nx\r\n", "mg suppressed ms stored"),
    Pipeline(ONE, b"mg [] q\r\nmd {}\r\nmd {}\r\n", "mg suppressed md deleted md not_found"),
    Pipeline(ONE, b"mg {} q\r\nmd {}\r\nma {}\r\n", "mg hit md deleted ma not_found"),
    Pipeline(
        TEXT,
        b"ms [] 2 q\r\nxx\r\nma {}\r\nmd {}\r\n",
        "ms suppressed ma client_error md deleted",
    ),
    Pipeline(ONE, b"mg [] q v\r\nmg {} v\r\nmg [] v\r\n", "mg suppressed mg hit:1 mg miss"),
    Pipeline(ONE, b"mg {} q v\r\nmg {} v\r\n", "mg hit:1 mg hit:1", HIT + HIT),
    Pipeline(ONE, b"mg [] q v\r\nmg {} v\r\n", "mg suppressed mg hit:1", HIT),
    Pipeline(TEXT, b"ms [] 1 q\r\nx\r\nma {}\r\n", "ms suppressed ma client_error", REFUSED),
    Pipeline(ONE, b"mg {} q\r\nmg {} q\r\n", "mg hit mg hit", b"HD\r\nHD\r\n"),
    Pipeline(ONE, b"mg {} q\r\nma [] q\r\n", "mg hit ma not_found", b"HD\r\nNF\r\n"),
]
SETQ = bytes(8)
MESSAGES = [
    Pipeline(
        b"",
        message(13, b"b1") + message(17, b"b1", SETQ, b"x") + message(13, b"b1"),
        "get ? set suppressed get ?",
    ),
    Pipeline(
        b"set b2 0 0 1\r\n5\r\nset b3 0 0 1\r\n6\r\n",
        message(9, b"b2") + message(9, b"b3") + message(17, b"b4", SETQ, b"x"),
        "get hit:1 get hit:1 set suppressed",
        bytes(2 * 29),
    ),
    Pipeline(
        b"set b5 0 0 1\r\n5\r\n",
        message(18, b"b5", SETQ, b"x") + message(20, b"b6") + message(20, b"b6"),
        "add not_stored delete not_found delete not_found",
    ),
]


def receive(client: socket.socket, size: int) -> bytes:
    """Receive at least `size` bytes."""
    answers = b""
    while len(answers) < size:
        part = client.recv(65536)
        assert part, "memcached has closed"
        answers += part
    return answers


def talk(port: int, pipeline: Pipeline) -> None:
    """Send a pipeline, and wait for its last answer."""
    is_binary = pipeline.sent.startswith(b"\x80")
    end, ended = (NOOP, NOOP_ENDED) if is_binary else (END, ENDED)
    with connect(port) as client:
        if pipeline.answered is None:
            client.sendall(pipeline.sent + end)
        else:
            client.sendall(pipeline.sent)
            assert len(receive(client, len(pipeline.answered))) == len(pipeline.answered)
            client.sendall(end)
        answers = b""
        while not answers.endswith(ended):
            answers += receive(client, 1)


def named(row: Row) -> str:
    """Return an event's command and outcome, with the size of a value that was returned."""
    outcome = row["outcome"] or "?"
    size = row["value_size"] if outcome == "hit" else None
    return f"{row['command']} {outcome}" + ("" if size is None else f":{size}")


def test_every_outcome_that_the_answers_tell_is_in_the_profile_and_no_other(tmp_path: Path) -> None:
    pipelines = [
        pipeline._replace(
            before=pipeline.before.replace(b"{}", b"key%d" % number),
            sent=pipeline.sent.replace(b"{}", b"key%d" % number).replace(b"[]", b"no%d" % number),
        )
        for number, pipeline in enumerate(LINES)
    ] + MESSAGES
    output = tmp_path / "pipelines.mb"
    with memcached() as server:
        with connect(server.port) as client:
            client.sendall(b"".join(pipeline.before for pipeline in pipelines) + END)
            answers = b""
            while not answers.endswith(ENDED):
                answers += receive(client, 1)
        with recorder(output, [server.port], "--no-stats") as running:
            for pipeline in pipelines:
                talk(server.port, pipeline)
            running.stop().expect(0)
    ledger = read_info(output)["ledger"]
    assert ledger["complete"], ledger
    found = [" ".join(map(named, rows)) for rows in by_connection(events(output)).values()]
    assert found == [f"{pipeline.events} mn ok" for pipeline in pipelines]
