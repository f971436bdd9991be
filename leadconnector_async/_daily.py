"""The daily budget of one location, with its reset and its reserve.

Rule: what an answer says replaces what was counted here, by the order of sending. Without headers the day
begins with the first request.

Pure. Time comes in as an argument. Knows the headers (`_quota`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from ._quota import read_daily_limit, read_daily_remaining

_DAY: Final = 86_400.0
_OFTEN: Final = 1.0
"""After how many seconds the limit of the day and its reset, which change slowly, are read again."""


class Daily:
    """What is left of the day, by the newest answer. Times in seconds of one monotonic clock."""

    __slots__ = ("_newest", "_read_at", "_reset_at", "_returned", "limit", "remaining")

    def __init__(self, limit: int) -> None:
        self.limit = self.remaining = limit
        self._reset_at = math.inf
        self._read_at = -math.inf
        self._newest = 0
        self._returned: list[int] = []
        """Requests that never left, of those that are newer than the newest answer."""

    def take(self, now: float) -> None:
        """One more request leaves."""
        if self._reset_at == math.inf:
            self._reset_at = now + _DAY
        self.remaining -= 1

    def give_back(self, number: int) -> None:
        """The how-manyeth request never left; an answer to a later one has not counted it anyway."""
        if number > self._newest:
            self.remaining += 1
            self._returned.append(number)

    def learn(self, number: int, newest: int, headers: Mapping[str, str], now: float) -> None:
        """Take over what an answer says. `number` and `newest` count requests in the order of sending."""
        remaining = read_daily_remaining(headers)
        if remaining is None or number <= self._newest:
            return
        self._newest = number
        if self._returned:
            self._returned = [one for one in self._returned if one > number]
        self.remaining = remaining - (newest - number) + len(self._returned)
        if now >= self._read_at + _OFTEN or not remaining:
            self._learn_limit(headers, now)

    def _learn_limit(self, headers: Mapping[str, str], now: float) -> None:
        limit, reset_seconds = read_daily_limit(headers)
        self._read_at = now
        self.limit = limit or self.limit
        if reset_seconds is not None:
            self._reset_at = now + min(reset_seconds, _DAY)

    def compute_wait(self, now: float, reserve: int) -> float | None:
        """Seconds until the budget is back, if no more than `reserve` is left of it; else `None`."""
        if self.remaining > reserve:
            return None
        if now >= self._reset_at:
            self.remaining, self._reset_at = self.limit, now + _DAY
            return None
        return self._reset_at - now

    def is_idle(self, now: float) -> bool:
        """The next answer tells as much as is known here, and so does a new day."""
        return now >= self._reset_at or (self._newest > 0 and self.remaining > 0) or self.remaining == self.limit

    def measure_reset(self, now: float) -> float | None:
        """Seconds until the budget is back; `None` before the first request."""
        return None if self._reset_at == math.inf else max(0.0, self._reset_at - now)
