"""Addresses of stacks → names of functions."""

from __future__ import annotations

from collections.abc import Iterable

from membench import _arguments as check, _native

_MOST_ADDRESS = (1 << 64) - 1


def symbolize(addresses: Iterable[int], *, pid: int | None = None) -> list[str]:
    """Name the functions that the addresses of a stack are in, from the innermost on.

    Args:
        addresses: A stack, as a stack trace map holds it: all but the first are those that the
            calls return to.
        pid: The process whose stack it is; the kernel's without one. It must still be there.

    Returns:
        A name for each address. Without a symbol it is the file and the offset in it, else the
        address.

    Raises:
        UsageError: An address or a process is no number.
    """
    listed = check.several("addresses", addresses)
    stack = [check.whole("an address", address, 0, _MOST_ADDRESS) for address in listed]
    process = None if pid is None else check.whole("a process", pid, 1, (1 << 22) - 1)
    return _native.symbolize(stack, process)
