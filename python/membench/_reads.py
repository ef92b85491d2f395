"""Keys looked up, by result, as the engine counts them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reads:
    """Keys looked up: a multi-get of N keys is N reads.

    Attributes:
        hits: Reads that found their item.
        misses: Reads that found none; quiet ones get no answer then.
        unseen: Reads whose answer was not seen. No ratio counts them.
    """

    hits: int = 0
    misses: int = 0
    unseen: int = 0

    @property
    def hit_ratio(self) -> float | None:
        """Hits among the reads whose answer was seen, 0…1; None without any."""
        seen = self.hits + self.misses
        return self.hits / seen if seen else None
