"""When a job will be done, computed from the budgets of its locations.

A location with a limit of N requests in T seconds gets a slot back T seconds after the answer. So it sends N
requests in T plus a round trip, unless fewer are under way at once than that takes. What goes beyond the budget of
the day waits for the next day. While a job runs, what is open is read again now and then, which takes requests as
well. All locations run at once: the job ends with the slowest.

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
    lists: int = 0
    """Requests that it takes to read again what is open; 0 if nothing is."""
    read_seconds_ago: float = 0.0
    read_every: float = math.inf
    """Seconds."""


def forecast(loads: Iterable[Load], rate: float | None) -> float | None:
    """Seconds until all is done; `None` if there is nothing to do. `rate` bounds each location, in requests/s."""
    return max((forecast_location(load, rate) for load in loads), default=None)


def forecast_location(load: Load, rate: float | None = None) -> float:
    """Seconds until one location is done."""
    quota = load.quota
    requests = load.requests + _count_lists(load, rate)
    today = min(requests, quota.daily_remaining)
    seconds = quota.paused_seconds + _send(today, load, rate, quota.remaining + quota.in_flight)
    later = requests - today
    if not later:
        return seconds
    days = math.ceil(later / quota.daily_limit)
    until_reset = quota.daily_reset if quota.daily_reset is not None else _DAY
    last = later - (days - 1) * quota.daily_limit
    return until_reset + (days - 1) * _DAY + _send(last, load, rate, quota.limit)


def _count_lists(load: Load, rate: float | None) -> int:
    """Requests that read again on the way, as long as the location is sending."""
    if not load.lists or math.isinf(load.read_every):
        return 0
    sending = _send(load.requests, load, rate, load.quota.remaining + load.quota.in_flight)
    return load.lists * math.floor((sending + load.read_seconds_ago) / load.read_every)


def _send(requests: int, load: Load, rate: float | None, free: int) -> float:
    """The free slots are used at once, as are those under way; after that the location goes at its pace.

    A location that nobody else uses sends in bursts of a whole window: with 100 in 10 s, request number 101 goes
    when 10 s have passed, and not after a tenth of a second. When in the interval the slots come back is not known.
    """
    quota = load.quota
    round_trip = load.round_trip or _ROUND_TRIP
    at_once = load.concurrency / round_trip
    window = quota.interval + round_trip
    pace = min(quota.limit / window, at_once)
    burst = min(at_once, rate or at_once)
    first = min(requests, free)
    rest = requests - first
    if quota.mode != "burst" or burst <= quota.limit / window:
        return first / burst + rest / min(pace, rate or pace)
    if not rest:
        return first / burst
    windows = math.ceil(rest / quota.limit)
    return windows * window + (rest - (windows - 1) * quota.limit) / burst
