"""The daily budget of one location, with its reset and its reserve.

What a response says replaces what was counted here, by sequence number. Without headers the day begins with the
first request.

A response may say that the budget is spent, but not until when, or name a moment that makes no sense. That does not
justify stopping for a day: one request probes after a minute, and the next ones after two, four and so on, up to an
hour.

Times come in as arguments, by a clock that may stop while the machine sleeps. The server's day does not stop, so
the time asleep is deducted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from .headers import DAILY_REMAINING, parse_count, read_daily_limit

_DAY: Final = 86_400.0
_REREAD_AFTER: Final = 1.0
"""Seconds after which the daily limit and its reset, which change slowly, are read again."""
_FIRST_PROBE: Final = 60.0
_LONGEST_PROBE: Final = 3600.0
_LEAST_SLEEP: Final = 1.0
"""Seconds: a shorter sleep does not matter to a day, and may be an error of two clocks that are read in turn."""
_BOOT_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
"""The clock that continues while the machine sleeps, on Linux or macOS; that of Windows does so anyway."""


def measure_sleep() -> float:
    """Seconds that the machine has slept, from an origin that stays the same."""
    if _BOOT_CLOCK is None:
        return 0.0
    while True:
        before = time.monotonic()
        now = time.clock_gettime(_BOOT_CLOCK)
        if time.monotonic() - before < _LEAST_SLEEP / 2:  # otherwise the process was stopped between the two
            return now - before


class _Schedule:
    """When the budget is back, and when one request, a probe, may try whether it is."""

    __slots__ = ("_measure_sleep", "_slept", "probe_at", "probe_due", "probe_seconds", "reset_at")

    def __init__(self, measure_sleep: Callable[[], float]) -> None:
        self.reset_at = math.inf
        self.probe_at = math.inf
        """Infinite while the reset is known, or our own count is all there is."""
        self.probe_due = False
        """One may be sent now."""
        self.probe_seconds = _FIRST_PROBE
        self._measure_sleep = measure_sleep
        self._slept = measure_sleep()
        """How long the machine had slept when the moments were last corrected, in seconds."""

    def set_reset(self, at: float) -> None:
        """The reset is known, so nobody has to probe."""
        self.catch_up()
        self.reset_at, self.probe_at = at, math.inf

    def set_probe(self, now: float, seconds: float | None = None) -> None:
        """The next probe may be sent after so many seconds."""
        self.catch_up()
        self.probe_seconds = _FIRST_PROBE if seconds is None else seconds
        self.probe_at = now + self.probe_seconds

    def catch_up(self) -> None:
        """Make the moments earlier by what the machine has slept since the last correction."""
        slept = self._measure_sleep()
        missed, self._slept = slept - self._slept, slept
        if missed > _LEAST_SLEEP:
            self.reset_at -= missed
            self.probe_at -= missed


class DailyBudget:
    """What remains of the day, by the newest response. Times in seconds of one monotonic clock."""

    __slots__ = (
        "_configured",
        "_newest",
        "_read_at",
        "_returned",
        "_schedule",
        "limit",
        "only_counts",
        "remaining",
        "reserve",
    )

    def __init__(self, limit: int, reserve: int = 0, measure_sleep: Callable[[], float] = measure_sleep) -> None:
        self.limit = self.remaining = self._configured = limit
        self.reserve = reserve
        """What bulk calls leave for interactive ones."""
        self._read_at = -math.inf
        self._newest = 0
        self._returned: list[int] = []
        """Requests that were never sent, of those that are newer than the newest response."""
        self._schedule = _Schedule(measure_sleep)
        self.only_counts = False
        """`take` would do no more than count: the day has begun, and nobody probes whether it is over."""

    @property
    def knows_reset(self) -> bool:
        """Whether it is known when the budget is back."""
        return self._schedule.probe_at == math.inf

    def take(self, now: float) -> None:
        """One more request is sent."""
        schedule = self._schedule
        if schedule.reset_at == math.inf:
            schedule.catch_up()
            schedule.reset_at = now + _DAY
        self.remaining -= 1
        if schedule.probe_due:
            schedule.probe_due = False
            schedule.set_probe(now, min(_LONGEST_PROBE, 2 * schedule.probe_seconds))
        self.only_counts = True

    def give_back(self, number: int) -> None:
        """One was never sent; the response to a later one did not count it anyway."""
        if number > self._newest:
            self.remaining += 1
            self._returned.append(number)

    def learn(
        self, number: int, newest: int, headers: Mapping[str, str], now: float, *, success: bool = True
    ) -> None:
        """Take over what a response says. `number` and `newest` are sequence numbers of requests."""
        if number <= self._newest:
            return
        remaining = parse_count(headers.get(DAILY_REMAINING))
        if remaining is None:
            if success and not self.knows_reset:
                self._begin_day(now)
            return
        self._newest = number
        if self._returned:
            self._returned = [one for one in self._returned if one > number]
        self.remaining = remaining - (newest - number) + len(self._returned)
        if now >= self._read_at + _REREAD_AFTER or not remaining:
            self._learn_limit(headers, now)
        if remaining > 0 and not self.knows_reset:
            self._schedule.set_probe(now)

    def adopt(self, limit: int, remaining: int, reset_seconds: float | None, now: float) -> None:
        """Take over what the processes that share the budget know of it."""
        self.limit, self.remaining = limit, remaining
        if reset_seconds is not None:
            self._schedule.set_reset(now + reset_seconds)

    def _learn_limit(self, headers: Mapping[str, str], now: float) -> None:
        limit, reset_seconds = read_daily_limit(headers)
        self._read_at = now
        self.limit = limit or self.limit
        if reset_seconds is not None:
            self._schedule.set_reset(now + reset_seconds)
        elif self.knows_reset:
            self._schedule.set_probe(now)

    def _begin_day(self, now: float) -> None:
        """If a limit lower than the configured one still holds, the first response says so."""
        self.remaining = max(self.limit, self._configured)
        self._schedule.set_reset(now + _DAY)
        self._schedule.probe_due = False

    def compute_wait(self, now: float, *, bulk: bool = False) -> float | None:
        """Seconds until the budget is back or may be probed, if it is spent for this class of calls; else `None`.

        `None` as well for the probe: `take` says that it was sent.
        """
        if self.remaining > (self.reserve if bulk else 0):
            return None
        schedule = self._schedule
        schedule.catch_up()
        if now >= schedule.reset_at:
            self._begin_day(now)
            return None
        schedule.probe_due = schedule.probe_due or now >= schedule.probe_at
        self.only_counts = self.only_counts and not schedule.probe_due
        return None if schedule.probe_due else min(schedule.probe_at, schedule.reset_at) - now

    def is_idle(self, now: float) -> bool:
        """The next response tells as much as is known here, and so does a new day."""
        return (
            now >= self._schedule.reset_at
            or (self._newest > 0 and self.remaining > 0)
            or self.remaining == self.limit
        )

    def measure_reset(self, now: float) -> float | None:
        """Seconds until the budget is back or may be probed; `None` before the first request."""
        schedule = self._schedule
        schedule.catch_up()
        until = schedule.reset_at if self.remaining > 0 else min(schedule.reset_at, schedule.probe_at)
        return None if until == math.inf else max(0.0, until - now)
