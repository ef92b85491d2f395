"""Lines of strace and of `membench trace` → calls, in one form that both share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LINE = re.compile(r"^(?:\[pid +)?(\d+)\]? +(.*)$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\) += (.*)$", re.DOTALL)
_STRING = r'"(?:[^"\\]|\\.)*"(?:\.\.\.)?'
# Arguments that hold the bytes of a buffer, which `membench trace` leaves out.
_BUFFERS = {
    "read": 1,
    "write": 1,
    "pread64": 1,
    "pwrite64": 1,
    "sendto": 1,
    "recvfrom": 1,
    "getrandom": 0,
    "getdents64": 1,
}
_IOVEC = re.compile(rf"iov_base=(?:{_STRING}|0x[0-9a-f]+|NULL), ")
# Arguments that one of both writes in another way: structures that only strace knows.
_OPAQUE = {
    "clone",
    "clone3",
    "execve",
    "sigaltstack",
    "rt_sigreturn",
    "rseq",
    "ioctl",
    "select",
    "prctl",
}
# strace also shows the length that the caller passed.
_LENGTHS = re.compile(r"\b\d+ => (\d+)")
_TIME = re.compile(r" <(?:[\d.]+|\?)>$")
_COMMENT = re.compile(r" /\* .*? \*/")
# What strace says of a sleep that a signal ended.
_DOTS = re.compile(r"\]\.\.\.")


@dataclass(frozen=True, slots=True)
class Traced:
    """A call, or with the name `---` or `+++` a signal or the end of a thread."""

    name: str
    arguments: str
    result: str

    def __str__(self) -> str:
        return f"{self.name}({self.arguments}) = {self.result}"


def by_thread(lines: Iterable[str]) -> dict[int, list[Traced]]:
    """Return the calls of each thread, in the order in which they began."""
    threads: dict[int, list[Traced]] = {}
    begun: dict[int, str] = {}
    for line in lines:
        found = _LINE.match(line.rstrip("\n"))
        if not found:
            continue
        tid, text = int(found[1]), found[2]
        calls = threads.setdefault(tid, [])
        if resumed := _RESUMED.match(text):
            begin, rest = begun.pop(tid, f"{resumed[1]}(").rstrip(), resumed[2].lstrip()
            text = f"{begin} {rest}" if begin.endswith(",") else begin + rest
        if text.endswith("<unfinished ...>"):
            begun[tid] = text.removesuffix("<unfinished ...>")
            continue
        if (call := parse(text)) is not None:
            calls.append(call)
    return threads


def parse(text: str) -> Traced | None:
    """Parse what follows the number of the thread."""
    if text.startswith(("--- ", "+++ ")):
        return Traced(text[:3], _COMMENT.sub("", text[4:-4]), "")
    text = text.split("  # conn ", maxsplit=1)[0]
    if not (found := _CALL.match(_TIME.sub("", text))):
        return None
    name, arguments, result = found[1], found[2].strip(), found[3].strip()
    arguments = arguments.replace("<unfinished ...>", "").rstrip(", ")
    return Traced(name, _shared(name, arguments), result)


def _shared(name: str, arguments: str) -> str:
    """Leave out what only one of both shows."""
    if name in _OPAQUE:
        return "…"
    arguments = _COMMENT.sub("", _DOTS.sub("]", arguments))
    arguments = _LENGTHS.sub(r"\1", _IOVEC.sub("", arguments))
    if (place := _BUFFERS.get(name)) is not None:
        before = r"(?:[^,]*, )" * place
        arguments = re.sub(rf"^({before})(?:{_STRING}|0x[0-9a-f]+), ", r"\1", arguments)
    return arguments
