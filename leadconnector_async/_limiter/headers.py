"""What the rate limit headers of a response say.

A header that is missing, is not a number or makes no sense is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

from .._model import Model

MAX: Final = "x-ratelimit-max"
INTERVAL: Final = "x-ratelimit-interval-milliseconds"
REMAINING: Final = "x-ratelimit-remaining"
_DAILY_LIMIT: Final = "x-ratelimit-limit-daily"
DAILY_REMAINING: Final = "x-ratelimit-daily-remaining"
_DAILY_RESET: Final = "x-ratelimit-daily-reset"
_SHORTEST_INTERVAL: Final = 0.05
_LONGEST_INTERVAL: Final = 60.0
"""A header that claims a shorter or a longer window is not believed: it would open a location, or stop it."""
_DAY: Final = 86_400.0
_LONGEST_DAY: Final = 90_000.0
"""No day is longer, not even one on which the clocks are set back. A later reset is not believed."""


class Quota(Model, frozen=True):
    """What the rate limit headers of one response said; `None` for what they did not [doc, field]."""

    limit: int | None = None
    """Requests allowed in `interval` (`x-ratelimit-max`)."""
    remaining: int | None = None
    """Requests remaining in the window (`x-ratelimit-remaining`)."""
    interval: float | None = None
    """Length of the window in seconds (`x-ratelimit-interval-milliseconds`)."""
    daily_limit: int | None = None
    """Requests allowed in a day (`x-ratelimit-limit-daily`)."""
    daily_remaining: int | None = None
    """Requests remaining today (`x-ratelimit-daily-remaining`)."""
    daily_reset: float | None = None
    """Seconds until the daily budget is back (`x-ratelimit-daily-reset`)."""


class LocationQuota(Model, frozen=True, kw_only=True):
    """What the limiter of one location knows and does at this moment. Durations in seconds from now."""

    limit: int
    """Requests allowed in `interval`."""
    interval: float
    """Length of the window."""
    remaining: int
    """Requests remaining in the window, by our own count and by the server's; after a pause and at the start, fewer
    are sent at once."""
    reserve: int = 0
    """Requests of each window that bulk calls leave to interactive ones."""
    in_flight: int = 0
    """Requests in flight."""
    waiting: int = 0
    """Calls that wait for a slot."""
    source: Literal["local", "shared", "shared, unreachable"] = "local"
    """`local`: counted by this process; `shared`: by all processes that share the limit, except for `in_flight` and
    `waiting`; `shared, unreachable`: the store cannot be reached, so this process keeps to its own share."""
    members: int = 1
    """Processes that share the limit at this moment."""
    mode: Literal["burst", "paced", "shared"] = "burst"
    """`burst`: nobody else uses the location; `paced`: others are seen; `shared`: others led to refusals."""
    paused_seconds: float = 0.0
    """Until the pause of the location ends."""
    pause_reason: str | None = None
    """Why it pauses; `None` if it does not."""
    daily_limit: int
    """Requests allowed in a day."""
    daily_remaining: int
    """Requests remaining today."""
    daily_reset: float | None = None
    """Seconds until the daily budget is back; `None` before the first request."""
    retries_remaining: int = 10
    """Retries after failures other than a 429 that the location's retry budget still pays for."""


def read_quota(headers: Mapping[str, str]) -> Quota:
    """Read the six headers; what is missing or not a number is `None`."""
    return Quota(
        parse_count(headers.get(MAX)),
        parse_count(headers.get(REMAINING)),
        _read_seconds(headers, INTERVAL),
        parse_count(headers.get(_DAILY_LIMIT)),
        parse_count(headers.get(DAILY_REMAINING)),
        _read_seconds(headers, _DAILY_RESET),
    )


def read_limits(headers: Mapping[str, str]) -> tuple[int | None, float | None]:
    """The limit and its interval in seconds, where they are stated and plausible."""
    limit, interval = parse_count(headers.get(MAX)), _read_seconds(headers, INTERVAL)
    plausible = interval is not None and _SHORTEST_INTERVAL <= interval <= _LONGEST_INTERVAL
    return limit or None, interval if plausible else None


def read_daily_limit(headers: Mapping[str, str]) -> tuple[int | None, float | None]:
    """Requests allowed in a day, and the seconds until they are back, at most a day, where that is plausible."""
    reset = _read_seconds(headers, _DAILY_RESET)
    plausible = reset is not None and 0 < reset <= _LONGEST_DAY
    return parse_count(headers.get(_DAILY_LIMIT)), min(reset, _DAY) if reset is not None and plausible else None


def _read_seconds(headers: Mapping[str, str], name: str) -> float | None:
    milliseconds = parse_count(headers.get(name))
    return None if milliseconds is None else milliseconds / 1000


@lru_cache(maxsize=256)  # the same small numbers recur
def parse_count(text: str | None) -> int | None:
    """The whole number that a header states."""
    if text is None or len(text) > 15 or not text.isascii() or not text.isdigit():
        return None
    return int(text)
