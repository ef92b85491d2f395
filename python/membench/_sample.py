"""The share of the traffic that a recording kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """Keep one key in `keys`, and follow one connection in `connections`; 1 is all of them.

    Attributes:
        keys: Every operation on a key is kept, or none; the key's id decides.
        connections: The client's address and port decide, in the kernel, so that other connections
            cost the server nothing. Of a log, they are taken in the order in which they appear.
    """

    keys: int = 1
    connections: int = 1

    @property
    def is_all(self) -> bool:
        """True if everything was kept."""
        return self.keys == self.connections == 1

    def __str__(self) -> str:
        """Name the share: `1 in 100 keys`."""
        parts = [
            f"1 in {number:,} {what}"
            for number, what in ((self.keys, "keys"), (self.connections, "connections"))
            if number > 1
        ]
        return " on ".join(parts) or "everything"


ALL = Sample()
