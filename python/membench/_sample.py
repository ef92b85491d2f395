"""The share of the traffic that a recording kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One key in N and one connection in M; 1 keeps all.

    Attributes:
        keys: N. A key's id decides: every operation on the key is kept, or none.
        connections: M. The client's address and port decide, in the kernel.
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
