"""When a job will be done, computed from the budgets of its locations.

A location with a limit of N requests in T seconds gets a slot back T seconds after the answer. So it sends N
requests in T plus a round trip, unless fewer are under way at once than that takes. What goes beyond the budget of
the day waits for the next day. All locations run at once: the job ends with the slowest.

Pure. Must not import the client.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from .._quota import LocationQuota

_DAY: Final = 86_400.0
_ROUND_TRIP: Final = 0.25
"""Seconds, as long as none was measured."""


class Load(Struct, frozen=True):
    """What one location has before it."""

    requests: int
    quota: LocationQuota
    round_trip: float
    """Seconds that an answer takes; 0 if none was measured yet."""
    concurrency: int


def forecast(loads: Iterable[Load], rate: float | None) -> float | None:
    """Seconds until all is done; `None` if there is nothing to do. `rate` bounds each location, in requests/s."""
    return max((forecast_location(load, rate) for load in loads), default=None)


def forecast_location(load: Load, rate: float | None = None) -> float:
    """Seconds until one location is done."""
    quota = load.quota
    today = min(load.requests, quota.daily_remaining)
    seconds = quota.paused_seconds + _send(today, load, rate, quota.remaining + quota.in_flight)
    later = load.requests - today
    if not later:
        return seconds
    days = math.ceil(later / quota.daily_limit)
    until_reset = quota.daily_reset if quota.daily_reset is not None else _DAY
    last = later - (days - 1) * quota.daily_limit
    return until_reset + (days - 1) * _DAY + _send(last, load, rate, quota.limit)


def _send(requests: int, load: Load, rate: float | None, free: int) -> float:
    """The free slots are used at once, as are those under way; after that the location goes at its pace.

    That is right within one interval: when in it the slots come back is not known here.
    """
    quota = load.quota
    round_trip = load.round_trip or _ROUND_TRIP
    at_once = load.concurrency / round_trip
    pace = min(quota.limit / (quota.interval + round_trip), at_once)
    burst = min(at_once, rate or at_once)
    first = min(requests, free)
    return first / burst + (requests - first) / min(pace, rate or pace)
