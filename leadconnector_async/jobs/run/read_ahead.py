"""When rows are read again before they are sent, and how many at once.

A list shows many rows for one request, so rows are read ahead. The batch shrinks when its last rows grew old before
their turn, and grows when all of them were used in time.
"""

from __future__ import annotations

from typing import Final

from ..._api.precondition import ReadingClock
from ..eta import PART
from ..journal.rows import OpenRow, Position

_FIRST: Final = 250
_LEAST: Final = 8
_MOST: Final = 2000


class ReadAhead:
    """Decides before each row starts. A row that it lets go too old is read again by itself."""

    def __init__(self, clock: ReadingClock, max_age: float) -> None:
        self._clock = clock
        self._max_age = max_age
        self._count = _FIRST
        self._begin: Position | None = None
        self._end: Position = (-1, 0)

    def is_due(self, row: OpenRow) -> bool:
        """Whether rows are to be read again, from this one on. With an age of 0, every row reads for itself."""
        if row.state != "pending" or row.parks is not None or self._max_age <= 0:
            return False
        return (row.rank, row.number) != self._begin and not self._clock.is_fresh(row.read_at, PART * self._max_age)

    def plan(self, row: OpenRow) -> int:
        """How many rows to read, from this one on."""
        self._begin = (row.rank, row.number)
        was_read = self._begin <= self._end
        self._count = max(_LEAST, self._count // 2) if was_read else min(_MOST, self._count * 2)
        return self._count

    def record(self, end: Position) -> None:
        """The rows up to this one were read."""
        self._end = end
