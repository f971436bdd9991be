"""The retry budget of one location: an outage must not be multiplied by those who wait for its end.

Every success earns a tenth of a repetition, up to fifty in store; every repetition costs a whole one, and a floor
of ten comes back within a minute, so that a program which sends little can repeat too. While everything fails
nothing is earned: a location repeats what it has in store, then ten times a minute, whatever `max_attempts` is
and however many calls wait.

Refusals for the rate cost nothing: the pause of the location bounds them already.

Time comes in as an argument.
"""

from __future__ import annotations

from typing import Final

_COST: Final = 10.0
"""What a repetition costs, in tenths of one; a success earns one tenth."""
_FLOOR: Final = 10 * _COST
_MOST: Final = 50 * _COST
_FLOOR_SECONDS: Final = 60.0
"""In how many seconds the whole floor comes back."""


class RetryBudget:
    """What is left for repetitions."""

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
        """Pay for one repetition; `False` if there is nothing left to pay with."""
        self._tenths = self._refill(now)
        self._filled_at = now
        if self._tenths < _COST:
            return False
        self._tenths -= _COST
        self.is_full = False
        return True

    def is_idle(self, now: float) -> bool:
        """Nothing is missing that a new budget would have."""
        return self._refill(now) >= _FLOOR

    def _refill(self, now: float) -> float:
        """What is left, with what has come back since."""
        return max(self._tenths, min(_FLOOR, self._tenths + (now - self._filled_at) * _FLOOR / _FLOOR_SECONDS))
