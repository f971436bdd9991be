"""The rate limits of locations, and the six headers that report them.

Time is an argument. Requests of other tools are counted as if they had been sent in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Literal

from msgspec import Struct

from .settings import check_duration, check_number, check_switch, check_word

_DAY: Final = 86_400.0
_MOST_OTHERS: Final = 10_000
"""Requests of other tools that are counted at once after a long silence."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a location may send."""

    max_requests: int = 100
    """Requests in any `interval` seconds."""
    interval: float = 10.0
    """Length of the window, in seconds."""
    daily: int = 200_000
    """Requests in a day."""
    retry_after: Literal["seconds", "date", "milliseconds"] | None = None
    """The form of `Retry-After` on a 429; `None`: a 429 has none."""
    headers: bool = True
    """Whether responses carry the six headers."""
    others: float = 0.0
    """Requests per second that other tools send to the same location."""
    per_app: bool = False
    """Whether each app has these limits to itself [doc], or all tools of the location share them [field]."""

    def __post_init__(self) -> None:
        check_number("max_requests", self.max_requests, 0)
        check_duration("interval", self.interval)
        check_number("daily", self.daily, 0)
        check_word("retry_after", self.retry_after, ("seconds", "date", "milliseconds", None))
        check_switch("headers", self.headers)
        check_duration("others", self.others, may_be_zero=True)
        check_switch("per_app", self.per_app)


class SlidingWindow:
    """A log of the requests of the last `interval` seconds.

    Nobody outside knows how the real server counts; tests put other windows in its place. `most` and `interval` may
    change from one request to the next.
    """

    def __init__(self) -> None:
        self._log: deque[float] = deque()

    def count(self, most: int, interval: float, now: float) -> float:
        """Requests that count now."""
        while self._log and self._log[0] + interval <= now:
            self._log.popleft()
        return len(self._log)

    def admit(self, most: int, interval: float, now: float) -> bool:
        """Count a request if there is room for it."""
        if self.count(most, interval, now) > most - 1:
            return False
        self._log.append(now)
        return True

    def compute_wait(self, most: int, interval: float, now: float) -> float:
        """Seconds until there is room for one more, if nobody else sends any."""
        surplus = len(self._log) - most
        return 0.0 if surplus < 0 else max(0.0, self._log[surplus] + interval - now)


class Verdict(Struct, frozen=True):
    """Whether one request is allowed."""

    allowed: bool
    headers: dict[str, str]
    wait_seconds: float
    """Until a request would be allowed again."""


class Usage(Struct, frozen=True):
    """How much of its limits a location, or an app in it, has used."""

    location_id: str
    app: str | None
    """`None` where all apps count together."""
    used: int
    most: int
    interval: float
    today: int
    daily: int
    wait_seconds: float
    """Until a request would be allowed; 0 if one is."""


class RateLimiter:
    """Counts the requests of one location."""

    def __init__(self, now: float, window: SlidingWindow | None = None) -> None:
        self._window = window or SlidingWindow()
        self._day_start = now
        self._used_today = 0
        self._others_at = now

    def check(self, limits: Limits, now: float) -> Verdict:
        """Allow a request and count it, or reject it."""
        self._catch_up(limits, now)
        allowed = self._admit(limits, now)
        wait = self._compute_wait(limits, now, within_day=self._used_today < limits.daily or allowed)
        return Verdict(allowed, self._build_headers(limits, now) if limits.headers else {}, wait)

    def measure(self, limits: Limits, now: float) -> tuple[int, int, float]:
        """Requests in the window and on this day, and seconds until one more would be allowed. Counts none."""
        self._catch_up(limits, now)
        used = self._window.count(limits.max_requests, limits.interval, now)
        wait = self._compute_wait(limits, now, within_day=self._used_today < limits.daily)
        return round(used), self._used_today, wait

    def _catch_up(self, limits: Limits, now: float) -> None:
        if now >= self._day_start + _DAY:
            self._day_start, self._used_today = now, 0
        self._count_others(limits, now)

    def _compute_wait(self, limits: Limits, now: float, *, within_day: bool) -> float:
        if within_day:
            return max(0.0, self._window.compute_wait(limits.max_requests, limits.interval, now))
        return max(0.0, self._day_start + _DAY - now)

    def _admit(self, limits: Limits, now: float) -> bool:
        within_day = self._used_today < limits.daily
        allowed = within_day and self._window.admit(limits.max_requests, limits.interval, now)
        self._used_today += allowed
        return allowed

    def _count_others(self, limits: Limits, now: float) -> None:
        if not limits.others:
            self._others_at = now
            return
        gap = 1 / limits.others
        self._others_at = max(self._others_at, now - gap * _MOST_OTHERS)
        while self._others_at + gap <= now:
            self._others_at += gap
            self._admit(limits, self._others_at)

    def _build_headers(self, limits: Limits, now: float) -> dict[str, str]:
        counted = self._window.count(limits.max_requests, limits.interval, now)
        return {
            "x-ratelimit-max": str(limits.max_requests),
            "x-ratelimit-remaining": str(max(0, int(limits.max_requests - counted + 1e-9))),
            "x-ratelimit-interval-milliseconds": str(round(limits.interval * 1000)),
            "x-ratelimit-limit-daily": str(limits.daily),
            "x-ratelimit-daily-remaining": str(max(0, limits.daily - self._used_today)),
            "x-ratelimit-daily-reset": str(round((self._day_start + _DAY - now) * 1000)),
        }


class RateLimits:
    """The limits of every location, and who counts its requests."""

    make_window: Callable[[], SlidingWindow] = SlidingWindow

    def __init__(self, default: Limits) -> None:
        self.default = default
        self.by_location: dict[str, Limits] = {}
        """Of the locations that have limits of their own."""
        self._limiters: dict[tuple[str, str | None], RateLimiter] = {}
        """By location and app; the app is `None` where all of them count together."""

    def get(self, location_id: str) -> Limits:
        """The limits of a location."""
        return self.by_location.get(location_id, self.default)

    def check(self, location_id: str, app: str, now: float) -> Verdict:
        """Allow a request of an app for a location and count it, or reject it."""
        limits = self.get(location_id)
        counted = (location_id, app if limits.per_app else None)
        limiter = self._limiters.get(counted)
        if limiter is None:
            limiter = self._limiters[counted] = RateLimiter(now, self.make_window())
        return limiter.check(limits, now)

    def list_usage(self, location_ids: Iterable[str], now: float) -> list[Usage]:
        """What is used of the limits of some locations; of each app, where they have them to themselves."""
        apps: dict[str, list[str | None]] = {}
        for location_id, app in self._limiters:
            if (app is not None) is self.get(location_id).per_app:
                apps.setdefault(location_id, []).append(app)
        return [self._measure(one, app, now) for one in location_ids for app in apps.get(one, [None])]

    def _measure(self, location_id: str, app: str | None, now: float) -> Usage:
        limits, limiter = self.get(location_id), self._limiters.get((location_id, app))
        used, today, wait = limiter.measure(limits, now) if limiter else (0, 0, 0.0)
        return Usage(location_id, app, used, limits.max_requests, limits.interval, today, limits.daily, wait)

    def clear(self) -> None:
        """Forget what was counted; the limits stay."""
        self._limiters.clear()
