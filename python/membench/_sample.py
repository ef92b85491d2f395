"""Which share of the traffic was recorded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One in so many keys, and one in so many connections; 1 is all of them.

    Attributes:
        keys: Every operation on a key is in, or none, told by the key's id.
        connections: Told by the client's address and port, in the kernel.
    """

    keys: int = 1
    connections: int = 1

    @property
    def is_all(self) -> bool:
        """Whether it is everything."""
        return self.keys == self.connections == 1

    def __str__(self) -> str:
        """Say what it is one in."""
        parts = [
            f"1 in {number:,} {what}"
            for number, what in ((self.keys, "keys"), (self.connections, "connections"))
            if number > 1
        ]
        return " on ".join(parts) or "everything"


ALL = Sample()
