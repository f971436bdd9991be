"""The limiter's arithmetic: slots, and what the headers say. Time comes in as an argument.

Why slots, and why they are stamped when the answer came. Let the server allow N requests in any window of
T seconds. Keep N slots. A slot is taken before a request leaves and stays taken until T after the headers of
its answer came. The server counts the request at some moment inside that stay, so two uses of one slot are at
least T apart *at the server*; hence no window of length T there holds more than N, whatever the latency, and
with no clock in common. A fixed window of any phase and a token bucket of size N are satisfied by the same
stream. A request that was cut off may still be on its way: its slot stays a margin longer. A request that
never left gives its slot back at once.

Until a first answer has told the real limits, one request goes ahead alone: limits lower than documented are
common, and a burst into an unknown one is refused.

Rule: nothing here waits and nothing here reads a clock.

Pure. Must not import anything of the package.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

_MAX: Final = "x-ratelimit-max"
_INTERVAL: Final = "x-ratelimit-interval-milliseconds"
_LONGEST_INTERVAL: Final = 3600.0
"""A header that claims a longer window is not believed: it would stop a location for good."""
_MARGIN: Final = 0.1
"""How much longer than T, as a part of T, the slot of a request that was cut off stays taken."""


class Quota(Struct, frozen=True):
    """What the rate limit headers of one answer said; `None` for what they did not [doc, field]."""

    limit: int | None = None
    """Requests allowed in `interval` (`x-ratelimit-max`)."""
    remaining: int | None = None
    """Requests left in the window (`x-ratelimit-remaining`)."""
    interval: float | None = None
    """Length of the window in seconds (`x-ratelimit-interval-milliseconds`)."""
    daily_limit: int | None = None
    """Requests allowed in a day (`x-ratelimit-limit-daily`)."""
    daily_remaining: int | None = None
    """Requests left of the day (`x-ratelimit-daily-remaining`)."""
    daily_reset: float | None = None
    """Seconds until the daily budget is back (`x-ratelimit-daily-reset`)."""


def read_quota(headers: Mapping[str, str]) -> Quota:
    """Read the six headers; what is missing or not a number is `None`."""
    interval = _read_count(headers, _INTERVAL)
    daily_reset = _read_count(headers, "x-ratelimit-daily-reset")
    return Quota(
        _read_count(headers, _MAX),
        _read_count(headers, "x-ratelimit-remaining"),
        None if interval is None else interval / 1000,
        _read_count(headers, "x-ratelimit-limit-daily"),
        _read_count(headers, "x-ratelimit-daily-remaining"),
        None if daily_reset is None else daily_reset / 1000,
    )


def _read_count(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name)
    if text is None or len(text) > 15 or not text.isascii() or not text.isdigit():
        return None
    return int(text)


class Slots:
    """The slots of one location. All times are seconds of one monotonic clock."""

    __slots__ = (
        "_cooling",
        "_heard",
        "_in_flight",
        "_stated",
        "interval",
        "max_requests",
        "paused_at",
        "paused_until",
    )

    def __init__(self, max_requests: int, interval: float) -> None:
        self.max_requests = max_requests
        self.interval = interval
        self.paused_at = self.paused_until = float("-inf")
        self._heard = False
        self._in_flight = 0
        self._stated: tuple[str | None, str | None] = (None, None)
        self._cooling: deque[float] = deque()

    def take(self, now: float) -> bool:
        """Take a slot if one is free."""
        if now < self.paused_until:
            return False
        cooling = self._cooling
        while cooling and cooling[0] + self.interval <= now:
            cooling.popleft()
        if self._in_flight + len(cooling) >= self.max_requests or (self._in_flight and not self._heard):
            return False
        self._in_flight += 1
        return True

    def compute_next(self, now: float) -> float | None:
        """When the next slot comes free by time alone; `None` if only an answer can free one."""
        if now < self.paused_until:
            return self.paused_until
        spare = self.max_requests - self._in_flight
        if spare <= 0 or (self._in_flight and not self._heard):
            return None
        surplus = len(self._cooling) - spare
        return now if surplus < 0 else self._cooling[surplus] + self.interval

    def finish(self, answered_at: float) -> None:
        """The answer's headers came: the slot is free `interval` later."""
        self._in_flight -= 1
        self._cooling.append(answered_at)

    def cut(self, now: float) -> None:
        """The request was cut off and may still be on its way: free a margin later than after an answer."""
        self.finish(now + self.interval * _MARGIN)

    def give_back(self) -> None:
        """The request never left: the slot is free at once."""
        self._in_flight -= 1

    def learn(self, headers: Mapping[str, str], *, success: bool = True) -> None:
        """Take over the limits that an answer's headers state. Slots in use stay in use.

        A failure that states none, such as a page of the edge, says nothing of the real limits.
        """
        stated = (headers.get(_MAX), headers.get(_INTERVAL))
        self._heard = self._heard or success or stated[0] is not None
        if stated == self._stated:
            return
        self._stated = stated
        quota = read_quota(headers)
        self.max_requests = quota.limit or self.max_requests
        if quota.interval and quota.interval <= _LONGEST_INTERVAL:
            self.interval = quota.interval

    def pause(self, now: float, seconds: float, sent_at: float) -> bool:
        """Stop taking for `seconds`; `False` if the refused request belongs to an earlier pause.

        A request sent before the last pause began says nothing new. A pause is never shortened.
        """
        if sent_at <= self.paused_at or now + seconds <= self.paused_until:
            return False
        self.paused_at = now
        self.paused_until = now + seconds
        return True
