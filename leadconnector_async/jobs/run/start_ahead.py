"""How many rows start ahead of their turn at the server.

A row's intent must be on disk before the row is sent, and its outcome before it counts: each takes a commit or two,
some hundredths of a second in all. For the server not to wait for the disk, other rows must be ready to be sent.

As many start ahead as the location can send in `SECONDS`. So no reading grows too old while its row waits, and a
crash leaves few rows in doubt. The pace follows from how long rows hold their slots, the wait for the rate limit
included, and not from counting responses: those come in bursts, and fewer of them while the server waits for the
disk. Worked examples, with 50 slots and `SECONDS` = 0.25:

    a row holds its slot for 12 ms      50 / 0.012 = 4,167 rows a second: 1,041 ahead
    for 250 ms                          50 / 0.25 = 200 a second: 50 ahead
    for 5 s                             10 a second: 2 ahead
    for 12 ms, with 100 per 10 s        10 a second: 2 ahead
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from ..._limiter.headers import LocationQuota
from ..eta import PART

SECONDS: Final = 0.25
"""What is started ahead waits about this long for its turn."""
_AVERAGED: Final = 16
"""About so many rows are averaged: a new pace shows soon, and one slow response does not empty the queue."""
_EVERY: Final = 0.05
"""Seconds between two looks at the rate limit."""
_SHORTEST: Final = 0.000_001


class StartAhead:
    """Measures the pace of a location, and decides how many rows may be in flight. Reads no clock."""

    def __init__(
        self,
        concurrency: int,
        most: int,
        *,
        max_age: float = 0.0,
        find_allowed: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """`most`: rows ahead at any pace. `max_age`: of readings, in seconds; 0: each row reads before it is sent.

        `find_allowed` returns how many rows a second the rate limit allows.
        """
        self._concurrency = concurrency
        self._most = most
        self._seconds = min(SECONDS, (1 - PART) * max_age) if max_age > 0 else SECONDS
        self._find_allowed = find_allowed
        self._allowed = math.inf
        self._looks_at = -math.inf
        self._held = 0.0

    def record(self, held: float, now: float) -> int:
        """A row has held its slot for so long; returns how many rows may be in flight."""
        self._held = self._held + (held - self._held) / _AVERAGED if self._held else held
        if now >= self._looks_at:
            self._allowed, self._looks_at = self._find_allowed(), now + _EVERY
        pace = min(self._concurrency / max(self._held, _SHORTEST), self._allowed)
        return self._concurrency + min(self._most, int(self._seconds * pace))


def count_allowed(quota: LocationQuota) -> float:
    """Rows a second that a location's limit allows this process in the long run; 0 during a pause.

    At the beginning of a window many go at once, which says nothing about the rest of it.
    """
    if quota.paused_seconds > 0:
        return 0.0
    return (quota.limit - quota.reserve) / quota.interval / quota.members
