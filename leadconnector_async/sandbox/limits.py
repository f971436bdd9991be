"""The rate limits of a location, and the six headers that tell of them.

Rule: time comes in as an argument. A request that is refused is not counted.

Pure. Must not import anything of the package.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, Protocol

from msgspec import Struct

_DAY: Final = 86_400.0


class Limits(Struct, frozen=True, kw_only=True):
    """What a location may send."""

    max_requests: int = 100
    """Requests in a window of `interval` seconds."""
    interval: float = 10.0
    """Length of the window, in seconds."""
    daily: int = 200_000
    """Requests in a day."""
    algorithm: Literal["fixed", "sliding"] = "sliding"
    """Windows one after the other, or any stretch of `interval` seconds."""
    retry_after: Literal["seconds", "date", "milliseconds"] | None = None
    """The form of `Retry-After` on a 429; `None`: a 429 has none."""


class Verdict(Struct, frozen=True):
    """What the limiter says to one request."""

    allowed: bool
    headers: dict[str, str]
    wait_seconds: float
    """Until a request would be let through again."""


class Window(Protocol):
    """A way of counting."""

    def forget(self, now: float, interval: float) -> None:
        """Drop what no longer counts."""

    def count(self) -> int:
        """Requests that count now."""
        ...

    def add(self, now: float) -> None:
        """Count one more."""

    def compute_wait(self, now: float, interval: float) -> float:
        """Seconds until the first of them no longer counts."""
        ...


class SlidingWindow:
    """A log of the requests of the last `interval` seconds."""

    def __init__(self) -> None:
        self._log: deque[float] = deque()

    def forget(self, now: float, interval: float) -> None:
        """Drop requests older than `interval`."""
        while self._log and self._log[0] + interval <= now:
            self._log.popleft()

    def count(self) -> int:
        """Length of the log."""
        return len(self._log)

    def add(self, now: float) -> None:
        """Log one."""
        self._log.append(now)

    def compute_wait(self, now: float, interval: float) -> float:
        """Until the oldest leaves the log."""
        return self._log[0] + interval - now if self._log else 0.0


class FixedWindow:
    """A counter that starts anew every `interval` seconds."""

    def __init__(self) -> None:
        self._opened = float("-inf")
        self._count = 0

    def forget(self, now: float, interval: float) -> None:
        """Open a new window if the time of this one is over."""
        opened = now // interval * interval
        if opened != self._opened:
            self._opened, self._count = opened, 0

    def count(self) -> int:
        """Requests in this window."""
        return self._count

    def add(self, now: float) -> None:
        """Count one."""
        self._count += 1

    def compute_wait(self, now: float, interval: float) -> float:
        """Until the next window opens."""
        return self._opened + interval - now


class Gate:
    """The limiter of one location."""

    def __init__(self, now: float) -> None:
        self._windows: dict[str, Window] = {"fixed": FixedWindow(), "sliding": SlidingWindow()}
        self._day_began = now
        self._used_today = 0

    def judge(self, limits: Limits, now: float) -> Verdict:
        """Let a request through and count it, or refuse it."""
        if now >= self._day_began + _DAY:
            self._day_began, self._used_today = now, 0
        window = self._windows[limits.algorithm]
        window.forget(now, limits.interval)
        day_left = self._used_today < limits.daily
        allowed = day_left and window.count() < limits.max_requests
        if allowed:
            window.add(now)
            self._used_today += 1
        wait = window.compute_wait(now, limits.interval) if day_left else self._day_began + _DAY - now
        return Verdict(allowed, self._build_headers(limits, window, now), max(0.0, wait))

    def _build_headers(self, limits: Limits, window: Window, now: float) -> dict[str, str]:
        return {
            "x-ratelimit-max": str(limits.max_requests),
            "x-ratelimit-remaining": str(max(0, limits.max_requests - window.count())),
            "x-ratelimit-interval-milliseconds": str(round(limits.interval * 1000)),
            "x-ratelimit-limit-daily": str(limits.daily),
            "x-ratelimit-daily-remaining": str(max(0, limits.daily - self._used_today)),
            "x-ratelimit-daily-reset": str(round((self._day_began + _DAY - now) * 1000)),
        }
