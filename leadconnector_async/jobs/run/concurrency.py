"""How many rows may be at the server at once, per job and per location."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

Seat = Callable[[bool], bool]
"""Is told whether it has got a place; says whether it takes it. What it does not take goes to the next."""


class RowSemaphore:
    """Places at the server."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[Seat] = deque()

    def ask(self, seat: Seat) -> None:
        """Take a place, at once if there is one."""
        self._waiting.append(seat)
        self._fill()

    def give_back(self) -> None:
        """Whoever is next takes it."""
        self._free += 1
        self._fill()

    def close(self) -> None:
        """Those that wait get none."""
        while self._waiting:
            self._waiting.popleft()(False)

    def _fill(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            if not self._waiting.popleft()(True):
                self._free += 1


_FETCHED: Final = 200
_LEAST_FETCHED: Final = 16
_MOST_FETCHED: Final = 4000
"""Rows of all locations that are read ahead."""
_BRISK: Final = 32
"""From this concurrency on, speed counts for more than how few rows are in doubt after a crash."""
_MOST_AHEAD: Final = 1000
"""Rows of all locations that are on their way to the disk and back while others are at the server."""


class MemoryShare(Struct, frozen=True):
    """Of one location."""

    fetched: int
    """Rows that are read from the journal at once."""
    ahead: int
    """Rows that are started beyond those at the server: they are on their way to the disk, or back from it."""


def divide(locations: int, concurrency: int) -> MemoryShare:
    """Few locations read and start far ahead; many keep the server busy without that."""
    each = max(1, locations)
    ahead = 3 * concurrency if concurrency >= _BRISK else 0
    return MemoryShare(
        fetched=max(_LEAST_FETCHED, min(_FETCHED, _MOST_FETCHED // each)), ahead=min(ahead, _MOST_AHEAD // each)
    )
