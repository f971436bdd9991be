"""When rows of a location are read again on the way, how many at once, and what that costs.

A list shows many rows for one request, so rows are read ahead. How far pays depends on how fast rows get their
turn: it shrinks when rows of the last batch have grown old before their turn, and grows when all were used young.

Pure. Must not import the client.
"""

from __future__ import annotations

from typing import Final

from .._precondition import ReadingClock
from .._quota import LocationQuota
from .forecast import Load
from .ledger import OpenRow
from .states import JobOptions

_FIRST: Final = 250
_LEAST: Final = 8
_MOST: Final = 2000

PART: Final = 0.75
"""Of the age that is allowed: a row that starts now still waits for the journal and for a slot."""
Position = tuple[int, int]
"""Rank and number of a row."""


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
        if row.state != "ready" or row.parks is not None or self._max_age <= 0:
            return False
        return (row.rank, row.number) != self._begin and not self._clock.is_fresh(row.read_at, PART * self._max_age)

    def plan(self, row: OpenRow) -> int:
        """How many rows to read, from this one on."""
        self._begin = (row.rank, row.number)
        was_read = self._begin <= self._end
        self._count = max(_LEAST, self._count // 2) if was_read else min(_MOST, self._count * 2)
        return self._count

    def note(self, end: Position) -> None:
        """The rows up to this one were read."""
        self._end = end


class ReadingLog:
    """When each location was read last, and how many lists that took: a forecast counts those to come."""

    def __init__(self, clock: ReadingClock) -> None:
        self._clock = clock
        self._read: dict[str, tuple[int, float]] = {}

    def note(self, location: str, lists: int) -> None:
        """A location was read."""
        self._read[location] = (max(1, lists), self._clock.now())

    def build_load(
        self, location: str, rows: int, quota: LocationQuota, round_trip: float, options: JobOptions
    ) -> Load:
        """What a location has before it, reading again included."""
        if options.max_reading_age <= 0:
            return Load(2 * rows, quota, round_trip, options.concurrency)
        lists, read_at = self._read.get(location, (1, self._clock.now()))
        ago = max(0.0, self._clock.now() - read_at)
        return Load(rows, quota, round_trip, options.concurrency, lists, ago, PART * options.max_reading_age)
