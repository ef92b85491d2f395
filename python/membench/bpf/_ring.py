"""Records that programs write to ring buffers and perf event arrays → Python values."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from membench import _arguments as check
from membench.bpf._types import Type

if TYPE_CHECKING:
    from membench import _native

# Most records that one look takes.
_BATCH = 4096
_MOST_RECORDS = (1 << 31) - 1
# Time between two looks, s: records that programs wake no reader for are seen then.
_LOOK_S = 0.02
_FOREVER_S = 1e9


class Ring:
    """The records of a ring buffer or perf event array, by iteration, `async for` or `read`.

    Iteration ends when no record came for `timeout_s`. A ring has one reader: records that one
    iteration has taken are gone for others.

    Attributes:
        name: The map's name.
        timeout_s: Longest wait for a record, s; None waits for ever.
    """

    def __init__(
        self,
        name: str,
        native: _native.BpfRing,
        record_type: Type | None = None,
        timeout_s: float | None = None,
        count_lost: Callable[[], int] | None = None,
    ) -> None:
        """Decode the records of a reader by their type; `Object.ring` does."""
        self.name = name
        self.timeout_s = None if timeout_s is None else check.patience(timeout_s)
        self._native = native
        self._type = record_type
        self._count_lost = count_lost

    @property
    def lost(self) -> int | None:
        """The number of records that found no room, so far.

        Perf event arrays tell it. Ring buffers do not: their programs count it, in the global that
        `Object.ring` was given the name of. None if nobody counts.
        """
        return self._native.lost() if self._count_lost is None else self._count_lost()

    def read(self, timeout_s: float = 0.0, limit: int = _BATCH) -> list[Any]:
        """Return the records that are there, and wait for the first.

        Args:
            timeout_s: Longest wait, s; 0 does not wait.
            limit: Most records of a ring buffer; a perf event array is emptied.
        """
        patience = check.patience(timeout_s)
        most = check.whole("a number of records", limit, 1, _MOST_RECORDS)
        return [self._decode(record) for record in self._native.read(patience, most)]

    def __iter__(self) -> Iterator[Any]:
        patience = _FOREVER_S if self.timeout_s is None else self.timeout_s
        while records := self._native.read(patience, _BATCH):
            for record in records:
                yield self._decode(record)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield records; other tasks run while there are none."""
        patience = _FOREVER_S if self.timeout_s is None else self.timeout_s
        end = time.monotonic() + patience
        while True:
            records = self._native.read(0.0, _BATCH)
            for record in records:
                yield self._decode(record)
            if records:
                end = time.monotonic() + patience
            elif time.monotonic() >= end:
                return
            else:
                await self._look_again(min(_LOOK_S, max(0.0, end - time.monotonic())))

    async def _look_again(self, patience: float) -> None:
        """Wait until a descriptor can be read or the time is over."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        descriptors = self._native.descriptors()
        for descriptor in descriptors:
            loop.add_reader(descriptor, readable.set)
        try:
            await asyncio.wait_for(readable.wait(), patience)
        except TimeoutError:
            pass
        finally:
            for descriptor in descriptors:
                loop.remove_reader(descriptor)

    def close(self) -> None:
        """Give up the reader; the object does so when it is closed."""
        self._native.close()

    def __repr__(self) -> str:
        lost = "not counted" if self.lost is None else self.lost
        return f"<Ring {self.name}: lost={lost}>"

    def _decode(self, record: bytes) -> Any:  # noqa: ANN401 - the record's type is the program's
        # The kernel pads samples of perf event arrays.
        if self._type is None or len(record) < self._type.size:
            return record
        return self._type.decode(record[: self._type.size])
