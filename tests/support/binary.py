"""Binary protocol requests → their bytes, the operations, and a reader of the responses."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from support.replies import Reader
from support.requests import Exchange, Operation

#: Magic, opcode, key size, extras size, data type, status, body size, opaque value, cas value.
HEADER: Final = struct.Struct(">BBHBBHIIQ")
REQUEST, RESPONSE = 0x80, 0x81
NO_COUNTER: Final = 0xFFFFFFFF

#: Opcode of each command, with its quiet form if it has one.
OPCODES: Final[dict[str, tuple[int, int | None]]] = {
    "get": (0x00, 0x09),
    "getk": (0x0C, 0x0D),
    "gat": (0x1D, 0x1E),
    "gatk": (0x23, 0x24),
    "set": (0x01, 0x11),
    "add": (0x02, 0x12),
    "replace": (0x03, 0x13),
    "append": (0x0E, 0x19),
    "prepend": (0x0F, 0x1A),
    "delete": (0x04, 0x14),
    "incr": (0x05, 0x15),
    "decr": (0x06, 0x16),
    "touch": (0x1C, None),
    "flush_all": (0x08, 0x18),
    "quit": (0x07, 0x17),
    "noop": (0x0A, None),
    "version": (0x0B, None),
    "stats": (0x10, None),
    "verbosity": (0x1B, None),
    "sasl_list": (0x20, None),
    "sasl_auth": (0x21, None),
    "sasl_step": (0x22, None),
    "range_get": (0x30, None),
}
COMMANDS: Final = {
    "getk": "get",
    "gatk": "gat",
    "noop": "mn",
    "sasl_list": "other",
    "sasl_auth": "other",
    "sasl_step": "other",
    "range_get": "other",
}
RETRIEVALS: Final = ("get", "gat")
STORED: Final = ("set", "add", "replace", "append", "prepend", "cas", "incr", "decr")
SUCCESS: Final = {"delete": "deleted", "touch": "touched", "get": "hit", "gat": "hit"}
FAILURES: Final = {
    0x03: "server_error",
    0x04: "client_error",
    0x05: "not_stored",
    0x06: "client_error",
    0x20: "client_error",
    0x81: "client_error",
    0x82: "server_error",
}


@dataclass(slots=True)
class Part:
    """One request: its bytes, and the fields by which its response is recognized."""

    operation: Operation
    data: bytes
    opcode: int
    opaque: int
    quiet: bool


def ask(
    name: str,
    key: bytes = b"",
    *,
    value: bytes | None = None,
    extras: bytes = b"",
    cas: int = 0,
    opaque: int = 0,
    quiet: bool = False,
) -> Part:
    """Build a request of any form."""
    plain, silent = OPCODES[name]
    opcode = silent if quiet and silent is not None else plain
    body = extras + key + (value or b"")
    sizes = (len(key), len(extras), 0, 0, len(body))
    data = HEADER.pack(REQUEST, opcode, *sizes, opaque, cas) + body
    command = COMMANDS.get(name, name)
    if cas and command in ("set", "add", "replace"):
        command = "cas"
    operation = Operation(
        command,
        key if key and command not in ("stats", "other", "verbosity") else None,
        protocol="binary",
        value_size=None if value is None or command == "other" else len(value),
        request_size=len(data),
        cas=cas or None,
    )
    return Part(operation, data, opcode, opaque, quiet)


def fetch(name: str, key: bytes, **options: int) -> Part:
    """Build `get` or `getk`."""
    return ask(name, key, **options)


def touch(name: str, key: bytes, ttl: int, **options: int) -> Part:
    """Build `touch`, `gat` or `gatk`."""
    part = ask(name, key, extras=struct.pack(">I", ttl), **options)
    part.operation.ttl = ttl
    return part


def store(
    name: str, key: bytes, value: bytes, *, flags: int = 0, ttl: int = 0, **options: int
) -> Part:
    """Build `set`, `add` or `replace`; with a cas value the operation counts as `cas`."""
    part = ask(name, key, value=value, extras=struct.pack(">II", flags, ttl), **options)
    part.operation.flags, part.operation.ttl = flags, ttl
    return part


def extend(name: str, key: bytes, value: bytes, **options: int) -> Part:
    """Build `append` or `prepend`."""
    return ask(name, key, value=value, **options)


def count(
    name: str, key: bytes, delta: int, *, initial: int = 0, ttl: int = NO_COUNTER, **options: int
) -> Part:
    """Build `incr` or `decr`; with a `ttl` memcached creates a missing counter."""
    return ask(name, key, extras=struct.pack(">QQI", delta, initial, ttl), **options)


def together(*parts: Part) -> Exchange:
    """Join requests into one pipeline; the last must be one that is answered."""

    def settle(reader: Reader) -> None:
        waiting = deque(parts)
        while waiting and not _ends_silently(waiting):
            answer = Answer.read(reader)
            while (part := waiting[0]).quiet and not answer.is_of(part):
                waiting.popleft().operation.outcome = "suppressed"
            assert answer.is_of(part), (answer, part)
            answer.settle(part.operation)
            if not answer.continues:
                waiting.popleft()

    data = b"".join(part.data for part in parts)
    return Exchange(data, [[part.operation] for part in parts], settle)


def _ends_silently(waiting: deque[Part]) -> bool:
    """Return true if the remaining requests get no response: they start with a quiet `quit`."""
    (first, *_) = waiting
    if first.operation.command == "quit" and first.quiet:
        first.operation.outcome = "suppressed"
        return True
    return False


@dataclass(frozen=True, slots=True)
class Answer:
    """One response."""

    opcode: int
    status: int
    opaque: int
    cas: int
    extras: bytes
    key: bytes
    value: bytes

    @classmethod
    def read(cls, reader: Reader) -> Answer:
        """Read the next response."""
        head = HEADER.unpack(reader.take(HEADER.size))
        magic, opcode, key_size, extras_size, _, status, body_size, opaque, cas = head
        assert magic == RESPONSE, head
        body = reader.take(body_size)
        start = extras_size + key_size
        key = body[extras_size:start]
        return cls(opcode, status, opaque, cas, body[:extras_size], key, body[start:])

    def is_of(self, part: Part) -> bool:
        """Return true if this is the response to `part`."""
        key = part.operation.key
        return (self.opcode, self.opaque) == (part.opcode, part.opaque) and (
            not self.key or self.opcode == OPCODES["stats"][0] or self.key == key
        )

    @property
    def continues(self) -> bool:
        """True if more responses to the same request follow, as in a list of statistics."""
        return self.opcode == OPCODES["stats"][0] and self.status == 0 and bool(self.key)

    def settle(self, operation: Operation) -> None:
        """Enter the outcome, the cas value and the value size into the operation."""
        operation.outcome = outcome_of(operation.command, self.status)
        operation.cas = operation.cas or self.cas or None
        if operation.outcome == "hit":
            operation.value_size = len(self.value)


def outcome_of(command: str, status: int) -> str:
    """Return the outcome that a status code means for a command."""
    if status == 0:
        return "stored" if command in STORED else SUCCESS.get(command, "ok")
    if status == 0x01:
        if command in RETRIEVALS:
            return "miss"
        return {"replace": "not_stored", "stats": "client_error"}.get(command, "not_found")
    if status == 0x02:
        return "not_stored" if command == "add" else "exists"
    return FAILURES[status]


def wrong_options(parts: Sequence[Part], options: Sequence[str]) -> list[str]:
    """Describe recorded options that do not match the opcodes and cas values sent."""
    wrong = []
    for part, found in zip(parts, options, strict=True):
        letters = "q" * part.quiet + "k" * (part.opcode in (0x0C, 0x0D, 0x23, 0x24))
        compared = part.operation.command in ("append", "prepend", "incr", "decr", "delete")
        letters += "C" * (compared and HEADER.unpack(part.data[: HEADER.size])[8] != 0)
        if found != " ".join(letters):
            wrong.append(f"{part.operation.command} {part.opcode:#x}: {found!r}")
    return wrong
