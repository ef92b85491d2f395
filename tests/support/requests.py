"""Requests in the text protocols → their bytes, operations, and a reader of the responses."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from support.replies import Reader, meta_outcome, outcome_of

#: Stands for a size that the profile may record either way, so it is not compared.
UNCHECKED: Final = -1


@dataclass(slots=True)
class Operation:
    """One operation on one key, as its client knows it."""

    command: str
    key: bytes | None
    protocol: str = "text"
    value_size: int | None = None
    outcome: str | None = None
    request_size: int | None = None
    ttl: int | None = None
    flags: int | None = None
    cas: int | None = None
    noreply: bool = False
    #: False if the response may belong to another request: then a null outcome is right too.
    settled: bool = True
    connection: int = 0
    request: int = 0
    flight: int = 0
    answered: float | None = None


@dataclass(slots=True)
class Exchange:
    """Requests sent together, each a list of operations, and the reader of their responses."""

    data: bytes
    requests: list[list[Operation]]
    settle: Callable[[Reader], None]

    @property
    def operations(self) -> list[Operation]:
        """Operations of all requests, in order."""
        return [operation for request in self.requests for operation in request]


def read(command: str, keys: Sequence[bytes], exptime: int | None = None) -> Exchange:
    """Build `get`, `gets`, `gat` or `gats` of one or many keys."""
    expiry = [] if exptime is None else [str(exptime).encode()]
    data = b" ".join([command.encode(), *expiry, *keys]) + b"\r\n"
    operations = [Operation(command, key, ttl=exptime) for key in keys]
    operations[0].request_size = len(data)
    return Exchange(data, [operations], lambda reader: _settle_read(reader, operations))


def _settle_read(reader: Reader, operations: list[Operation]) -> None:
    pending = iter(operations)
    while (line := reader.line()) != b"END":
        if not line.startswith(b"VALUE "):
            for operation in operations:
                operation.outcome = outcome_of(line)
            return
        _, key, _, size, *cas = line.split(b" ")
        operation = next(operation for operation in pending if operation.key == key)
        operation.outcome = "hit"
        operation.value_size = int(size)
        operation.cas = int(cas[0]) if cas else None
        reader.take(int(size) + 2)
    for operation in operations:
        operation.outcome = operation.outcome or "miss"


def store(
    command: str,
    key: bytes,
    value: bytes,
    *,
    flags: int = 0,
    exptime: int = 0,
    noreply: bool = False,
    cas: int | None = None,
) -> Exchange:
    """Build `set`, `add`, `replace`, `append`, `prepend`, or `cas` with a cas value."""
    words = [command, key.decode("latin-1"), str(flags), str(exptime), str(len(value))]
    words += [] if cas is None else [str(cas)]
    words += ["noreply"] if noreply else []
    data = " ".join(words).encode("latin-1") + b"\r\n" + value + b"\r\n"
    operation = Operation(
        command,
        key,
        value_size=len(value),
        request_size=len(data),
        ttl=exptime,
        flags=flags,
        cas=cas,
        noreply=noreply,
    )
    return Exchange(data, [[operation]], lambda reader: _settle_line(reader, operation))


def change(command: str, key: bytes, *arguments: int, noreply: bool = False) -> Exchange:
    """Build `delete`, `incr`, `decr` or `touch`."""
    words = [command.encode(), key, *(str(argument).encode() for argument in arguments)]
    data = b" ".join(words + ([b"noreply"] if noreply else [])) + b"\r\n"
    counter = command in ("incr", "decr")
    operation = Operation(
        command,
        key,
        value_size=UNCHECKED if counter else None,
        request_size=len(data),
        ttl=arguments[0] if command == "touch" else None,
        noreply=noreply,
    )
    return Exchange(data, [[operation]], lambda reader: _settle_line(reader, operation))


def plain(command: str, line: bytes | None = None) -> Exchange:
    """Build a command without a key that is answered by one line; `line` replaces the verb."""
    data = (line or command.encode()) + b"\r\n"
    operation = Operation(
        command, None, request_size=len(data), protocol="meta" if command == "mn" else "text"
    )
    return Exchange(data, [[operation]], lambda reader: _settle_line(reader, operation))


def stats() -> Exchange:
    """Build `stats`, which is answered by a list."""
    operation = Operation("stats", None, request_size=len(b"stats\r\n"), outcome="ok")

    def settle(reader: Reader) -> None:
        while reader.line() != b"END":
            pass

    return Exchange(b"stats\r\n", [[operation]], settle)


def refused_key(key: bytes, value: bytes, *, reads_value: bool = False) -> Exchange:
    """Build a `set` of a key that is too long.

    memcached refuses the line; it then reads the value, or takes it for an unknown command.
    """
    line = b"set " + key + b" 0 0 " + str(len(value)).encode() + b"\r\n"
    refused = Operation("set", None, value_size=UNCHECKED, request_size=UNCHECKED)
    stray = Operation("other", None, request_size=len(value) + 2)

    requests = [[refused]] if reads_value else [[refused], [stray]]

    def settle(reader: Reader) -> None:
        for (operation,) in requests:
            operation.outcome = outcome_of(reader.line())

    return Exchange(line + value + b"\r\n", requests, settle)


def _settle_line(reader: Reader, operation: Operation) -> None:
    operation.outcome = "suppressed" if operation.noreply else outcome_of(reader.line())


def meta(command: str, key: bytes, flags: str = "", value: bytes | None = None) -> Exchange:
    """Build a meta command that is answered; with flag `b` the key is sent as base64."""
    operation, data = _meta_parts(command, key, flags, value)

    def settle(reader: Reader) -> None:
        _apply_meta(operation, reader.line(), reader)

    return Exchange(data, [[operation]], settle)


def quiet(parts: Sequence[tuple[str, bytes, str, bytes | None]]) -> Exchange:
    """Build quiet commands `(command, key, flags, value)` with opaques, followed by `mn`."""
    operations, data = [], b""
    for number, (command, key, flags, value) in enumerate(parts):
        operation, sent = _meta_parts(command, key, f"{flags} q O{number}".strip(), value)
        operations.append(operation)
        data += sent
    noop = Operation("mn", None, protocol="meta", request_size=4)

    def settle(reader: Reader) -> None:
        while (line := reader.line()) != b"MN":
            (opaque,) = [flag for flag in line.split(b" ")[1:] if flag.startswith(b"O")]
            _apply_meta(operations[int(opaque[1:])], line, reader)
        for operation in operations:
            operation.outcome = operation.outcome or "suppressed"
        noop.outcome = "ok"

    return Exchange(data + b"mn\r\n", [[operation] for operation in [*operations, noop]], settle)


def added_twice(key: bytes, value: bytes) -> Exchange:
    """Build two quiet meta adds of one key without opaque: one response fits either."""
    first, data = _meta_parts("ms", key, "ME q", value)
    second, again = _meta_parts("ms", key, "ME q", value)
    noop = Operation("mn", None, protocol="meta", request_size=4, outcome="ok")

    def settle(reader: Reader) -> None:
        answers = []
        while (line := reader.line()) != b"MN":
            answers.append(meta_outcome("ms", line))
        first.outcome, second.outcome = ["suppressed", *answers][-2:]
        first.settled = second.settled = len(answers) != 1

    return Exchange(data + again + b"mn\r\n", [[first], [second], [noop]], settle)


def _meta_parts(
    command: str, key: bytes, flags: str, value: bytes | None
) -> tuple[Operation, bytes]:
    letters = [flag[0] for flag in flags.split()]
    sent = base64.b64encode(key) if "b" in letters else key
    words = [command.encode(), sent]
    words += [] if value is None else [str(len(value)).encode()]
    words += [flags.encode()] if flags else []
    data = b" ".join(words) + b"\r\n" + (b"" if value is None else value + b"\r\n")
    size = UNCHECKED if command == "ma" else None if value is None else len(value)
    return Operation(command, key, protocol="meta", value_size=size, request_size=len(data)), data


def _apply_meta(operation: Operation, line: bytes, reader: Reader) -> None:
    operation.outcome = meta_outcome(operation.command, line)
    if line.startswith(b"VA "):
        size = int(line.split(b" ")[1])
        reader.take(size + 2)
        if operation.command == "mg":
            operation.value_size = size


def together(exchanges: Sequence[Exchange]) -> Exchange:
    """Join several exchanges into one pipeline."""

    def settle(reader: Reader) -> None:
        for exchange in exchanges:
            exchange.settle(reader)

    data = b"".join(exchange.data for exchange in exchanges)
    return Exchange(
        data, [request for exchange in exchanges for request in exchange.requests], settle
    )
