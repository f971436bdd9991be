"""The retry budget of one location: retries must not multiply an outage.

Every success earns a tenth of a retry, up to fifty saved; every retry costs a whole one, and a floor of ten is
refilled within a minute, so that a program that sends little can retry too. While everything fails, nothing is
earned: a location spends what it has saved, then retries ten times a minute, whatever `max_attempts` is and
however many calls wait.

A 429 costs nothing: the pause of the location limits retries already.

Times come in as arguments.
"""

from __future__ import annotations

from typing import Final

_COST: Final = 10.0
"""What a retry costs, in tenths of one; a success earns one tenth."""
_FLOOR: Final = 10 * _COST
_MOST: Final = 50 * _COST
_FLOOR_SECONDS: Final = 60.0
"""Seconds in which the whole floor is refilled."""


class RetryBudget:
    """What remains for retries."""

    __slots__ = ("_filled_at", "_tenths", "is_full")

    def __init__(self) -> None:
        self._tenths = _FLOOR
        self._filled_at = float("-inf")
        self.is_full = False
        """Another success earns nothing more."""

    def earn(self) -> None:
        """A call has succeeded."""
        if self._tenths < _MOST:
            self._tenths += 1
        self.is_full = self._tenths >= _MOST

    def spend(self, now: float) -> bool:
        """Pay for one retry; `False` if nothing remains."""
        self._tenths = self._refill(now)
        self._filled_at = now
        if self._tenths < _COST:
            return False
        self._tenths -= _COST
        self.is_full = False
        return True

    def count(self, now: float) -> int:
        """How many retries it still pays for."""
        return int(self._refill(now) // _COST)

    def is_idle(self, now: float) -> bool:
        """Nothing is missing that a new budget would have."""
        return self._refill(now) >= _FLOOR

    def _refill(self, now: float) -> float:
        """What remains, with what was refilled since."""
        return max(self._tenths, min(_FLOOR, self._tenths + (now - self._filled_at) * _FLOOR / _FLOOR_SECONDS))
