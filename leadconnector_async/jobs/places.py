"""Who may be at the server: so many at once, in the order in which they asked.

Rule: whoever has a place gives it back. A place goes from hand to hand without a turn of the event loop, so that
the server never waits for one that is free.

Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Seat = Callable[[bool], bool]
"""Is told whether it has got a place; says whether it takes it. What it does not take goes to the next."""


class Places:
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
