"""The rate limits of a location, and the six headers that tell of them.

Time comes in as an argument. Other tools' requests are counted as if they had been asked for in time.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from .settings import check_duration, check_number, check_switch, check_word
from .windows import WINDOWS, Algorithm, Window

_DAY: Final = 86_400.0
_MOST_OTHERS: Final = 10_000
"""Requests of others that are made up for at once, after a long silence."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a location may send."""

    max_requests: int = 100
    """Requests in a window of `interval` seconds."""
    interval: float = 10.0
    """Length of the window, in seconds."""
    daily: int = 200_000
    """Requests in a day."""
    algorithm: Algorithm = "sliding"
    """`fixed`: windows one after the other; `opened`: each begun by a request; `sliding`: any stretch of
    `interval` seconds; `counting`: the same, and refused requests count; `bucket`: tokens that come back evenly;
    `counter`: two fixed windows, weighted."""
    retry_after: Literal["seconds", "date", "milliseconds"] | None = None
    """The form of `Retry-After` on a 429; `None`: a 429 has none."""
    headers: bool = True
    """Whether answers carry the six headers."""
    others: float = 0.0
    """Requests per second that other tools send to the same location."""

    def __post_init__(self) -> None:
        check_number("max_requests", self.max_requests, 0)
        check_duration("interval", self.interval)
        check_number("daily", self.daily, 0)
        check_word("algorithm", self.algorithm, WINDOWS)
        check_word("retry_after", self.retry_after, ("seconds", "date", "milliseconds", None))
        check_switch("headers", self.headers)
        check_duration("others", self.others, may_be_zero=True)


class Verdict(Struct, frozen=True):
    """What the limiter says to one request."""

    allowed: bool
    headers: dict[str, str]
    wait_seconds: float
    """Until a request would be let through again."""


class RateLimiter:
    """The limiter of one location."""

    def __init__(self, now: float) -> None:
        self._windows: dict[Algorithm, Window] = {}
        self._day_began = now
        self._used_today = 0
        self._others_at = now

    def judge(self, limits: Limits, now: float) -> Verdict:
        """Let a request through and count it, or refuse it."""
        if now >= self._day_began + _DAY:
            self._day_began, self._used_today = now, 0
        window = self._find_window(limits)
        self._let_others_in(limits, window, now)
        allowed = self._let_in(limits, window, now)
        if self._used_today < limits.daily or allowed:
            wait = window.compute_wait(limits.max_requests, limits.interval, now)
        else:
            wait = self._day_began + _DAY - now
        return Verdict(allowed, self._build_headers(limits, window, now) if limits.headers else {}, max(0.0, wait))

    def _find_window(self, limits: Limits) -> Window:
        window = self._windows.get(limits.algorithm)
        if window is None:
            window = self._windows[limits.algorithm] = WINDOWS[limits.algorithm]()
        return window

    def _let_in(self, limits: Limits, window: Window, now: float) -> bool:
        counted = window.count(limits.max_requests, limits.interval, now)
        if self._used_today >= limits.daily or counted > limits.max_requests - 1:
            window.refuse(now)
            return False
        window.add(now)
        self._used_today += 1
        return True

    def _let_others_in(self, limits: Limits, window: Window, now: float) -> None:
        if not limits.others:
            self._others_at = now
            return
        gap = 1 / limits.others
        self._others_at = max(self._others_at, now - gap * _MOST_OTHERS)
        while self._others_at + gap <= now:
            self._others_at += gap
            self._let_in(limits, window, self._others_at)

    def _build_headers(self, limits: Limits, window: Window, now: float) -> dict[str, str]:
        counted = window.count(limits.max_requests, limits.interval, now)
        return {
            "x-ratelimit-max": str(limits.max_requests),
            "x-ratelimit-remaining": str(max(0, int(limits.max_requests - counted + 1e-9))),
            "x-ratelimit-interval-milliseconds": str(round(limits.interval * 1000)),
            "x-ratelimit-limit-daily": str(limits.daily),
            "x-ratelimit-daily-remaining": str(max(0, limits.daily - self._used_today)),
            "x-ratelimit-daily-reset": str(round((self._day_began + _DAY - now) * 1000)),
        }
