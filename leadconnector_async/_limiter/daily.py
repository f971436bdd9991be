"""The daily budget of one location, with its reset and its reserve.

What an answer says replaces what was counted here, by the order of sending. Without headers the day
begins with the first request.

An answer may say that the budget is spent, and not until when, or until a moment that nobody can mean. That is no
reason to stop for a day: one request goes after a minute to look again, and the next ones after two, four and so
on, up to an hour.

Time comes in as an argument.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from .headers import DAILY_REMAINING, parse_count, read_daily_limit

_DAY: Final = 86_400.0
_OFTEN: Final = 1.0
"""After how many seconds the limit of the day and its reset, which change slowly, are read again."""
_FIRST_PROBE: Final = 60.0
_LONGEST_PROBE: Final = 3600.0


class DailyBudget:
    """What is left of the day, by the newest answer. Times in seconds of one monotonic clock."""

    __slots__ = (
        "_configured",
        "_newest",
        "_probe_at",
        "_probe_seconds",
        "_probing",
        "_read_at",
        "_reset_at",
        "_returned",
        "limit",
        "only_counts",
        "remaining",
    )

    def __init__(self, limit: int) -> None:
        self.limit = self.remaining = self._configured = limit
        self._reset_at = math.inf
        self._read_at = -math.inf
        self._newest = 0
        self._returned: list[int] = []
        """Requests that never left, of those that are newer than the newest answer."""
        self._probe_at = math.inf
        """When one request may look again; infinite while the reset is known, or our own count is all there is."""
        self._probe_seconds = _FIRST_PROBE
        self._probing = False
        """One may go now."""
        self.only_counts = False
        """`take` would do no more than count: the day has begun, and nobody looks whether it is over."""

    @property
    def knows_reset(self) -> bool:
        """Whether there is a moment at which the budget is back."""
        return self._probe_at == math.inf

    def take(self, now: float) -> None:
        """One more request leaves."""
        if self._reset_at == math.inf:
            self._reset_at = now + _DAY
        self.remaining -= 1
        if self._probing:
            self._probing = False
            self._probe_seconds = min(_LONGEST_PROBE, 2 * self._probe_seconds)
            self._probe_at = now + self._probe_seconds
        self.only_counts = True

    def give_back(self, number: int) -> None:
        """The how-manyeth request never left; an answer to a later one has not counted it anyway."""
        if number > self._newest:
            self.remaining += 1
            self._returned.append(number)

    def learn(
        self, number: int, newest: int, headers: Mapping[str, str], now: float, *, success: bool = True
    ) -> None:
        """Take over what an answer says. `number` and `newest` count requests in the order of sending."""
        if number <= self._newest:
            return
        remaining = parse_count(headers.get(DAILY_REMAINING))
        if remaining is None:
            if success and self._probe_at < math.inf:
                self._begin_day(now)
            return
        self._newest = number
        if self._returned:
            self._returned = [one for one in self._returned if one > number]
        self.remaining = remaining - (newest - number) + len(self._returned)
        if now >= self._read_at + _OFTEN or not remaining:
            self._learn_limit(headers, now)
        if remaining > 0 and self._probe_at < math.inf:
            self._probe_seconds, self._probe_at = _FIRST_PROBE, now + _FIRST_PROBE

    def _learn_limit(self, headers: Mapping[str, str], now: float) -> None:
        limit, reset_seconds = read_daily_limit(headers)
        self._read_at = now
        self.limit = limit or self.limit
        if reset_seconds is not None:
            self._reset_at, self._probe_at = now + reset_seconds, math.inf
        elif self._probe_at == math.inf:
            self._probe_seconds, self._probe_at = _FIRST_PROBE, now + _FIRST_PROBE

    def _begin_day(self, now: float) -> None:
        """A limit that is lower than the configured one is said again by the first answer, if it is true."""
        self.remaining, self._reset_at = max(self.limit, self._configured), now + _DAY
        self._probe_at, self._probing = math.inf, False

    def compute_wait(self, now: float, reserve: int) -> float | None:
        """Seconds until the budget is back or one may look, if no more than `reserve` is left of it; else `None`.

        `None` as well for the one that looks: `take` tells that it has gone.
        """
        if self.remaining > reserve:
            return None
        if now >= self._reset_at:
            self._begin_day(now)
            return None
        self._probing = self._probing or now >= self._probe_at
        self.only_counts = self.only_counts and not self._probing
        return None if self._probing else min(self._probe_at, self._reset_at) - now

    def is_idle(self, now: float) -> bool:
        """The next answer tells as much as is known here, and so does a new day."""
        return now >= self._reset_at or (self._newest > 0 and self.remaining > 0) or self.remaining == self.limit

    def measure_reset(self, now: float) -> float | None:
        """Seconds until the budget is back, or until one may look; `None` before the first request."""
        until = self._reset_at if self.remaining > 0 else min(self._reset_at, self._probe_at)
        return None if until == math.inf else max(0.0, until - now)
