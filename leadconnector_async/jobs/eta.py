"""How long a job will take, computed from the rate limits of its locations and the reads still to come."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from .._api.precondition import ReadingClock
from .._limiter.headers import LocationQuota
from .._limiter.reserve import count_at_once
from .hours import Hours
from .states import JobOptions

_DAY: Final = 86_400.0
_ROUND_TRIP: Final = 0.25
"""Seconds, until one was measured."""


class LocationLoad(Struct, frozen=True):
    """What one location still has to do."""

    requests: int
    quota: LocationQuota
    round_trip: float
    """Seconds until a response; 0 if none was measured yet."""
    concurrency: int
    lists: int = 0
    """Requests that read all open rows again; 0 if there are none."""
    read_seconds_ago: float = 0.0
    read_every: float = math.inf
    """Seconds."""


def forecast(loads: Iterable[LocationLoad], rate: float | None) -> float | None:
    """Seconds until all is done; `None` if there is nothing to do. `rate` bounds each location, in requests/s."""
    return max((forecast_location(load, rate) for load in loads), default=None)


def stretch(seconds: float | None, hours: Hours | None, now: float) -> float | None:
    """Add the time outside of a job's hours, in which nothing is sent. `now`: seconds since the epoch."""
    return seconds if hours is None or not seconds else hours.stretch(seconds, now)


def forecast_location(load: LocationLoad, rate: float | None = None) -> float:
    """Seconds until one location is done."""
    quota = load.quota
    requests = load.requests + _count_lists(load, rate)
    today = min(requests, quota.daily_remaining)
    seconds = quota.paused_seconds + _send(today, load, rate, _count_free(quota))
    later = requests - today
    if not later:
        return seconds
    days = math.ceil(later / quota.daily_limit)
    until_reset = quota.daily_reset if quota.daily_reset is not None else _DAY
    last = later - (days - 1) * quota.daily_limit
    return until_reset + (days - 1) * _DAY + _send(last, load, rate, quota.limit - quota.reserve)


def _count_lists(load: LocationLoad, rate: float | None) -> int:
    """Requests that read rows again while the location is sending."""
    if not load.lists or math.isinf(load.read_every):
        return 0
    sending = _send(load.requests, load, rate, _count_free(load.quota))
    return load.lists * math.floor((sending + load.read_seconds_ago) / load.read_every)


def _send(requests: int, load: LocationLoad, rate: float | None, free: int) -> float:
    """Seconds until the last of these requests has gone, of which so many may go in this window.

    A location that no other client uses sends its share of each window in the same way: with 100 in 10 s and a
    reserve of 5, 50 at once and 45 spread over the 10 s; request 96 is sent when 10 s have passed. When in the
    interval slots become free is not known. Of several processes that share the limit, each gets an even part.
    """
    quota = load.quota
    round_trip = load.round_trip or _ROUND_TRIP
    at_once = load.concurrency / round_trip
    window = quota.interval + round_trip
    share = quota.limit - quota.reserve
    burst = min(at_once, rate or at_once)
    if quota.members > 1:
        return requests / min(share / window / quota.members, burst)
    first = min(requests, free)
    rest = requests - first
    if quota.mode != "burst" or burst <= share / window:
        return first / burst + rest / min(share / window, burst)
    used = share - free
    spent = _measure_window(used + first, quota, burst) - _measure_window(used, quota, burst)
    if not rest:
        return spent
    windows = math.ceil(rest / share)
    return windows * window + _measure_window(rest - (windows - 1) * share, quota, burst)


def _measure_window(requests: int, quota: LocationQuota, burst: float) -> float:
    """Seconds from the beginning of a window until so many requests have gone in it."""
    at_once = count_at_once(quota.limit, quota.reserve)
    spread = max(0, requests - at_once)
    gap = quota.interval / (quota.limit - quota.reserve - at_once + 1)
    return (requests - spread) / burst + spread * max(gap, 1 / burst)


def _count_free(quota: LocationQuota) -> int:
    """Requests of a job that may go in this window, or are in flight."""
    return min(max(0, quota.remaining + quota.in_flight - quota.reserve), quota.limit - quota.reserve)


PART: Final = 0.75
"""Of the maximum age: a row that starts now still waits for the journal and for a slot."""


class ReadingLog:
    """When each location was last read, and how many lists that took: a forecast counts those to come."""

    def __init__(self, clock: ReadingClock) -> None:
        self._clock = clock
        self._read: dict[str, tuple[int, float]] = {}

    def record(self, location: str, lists: int) -> None:
        """A location was read."""
        self._read[location] = (max(1, lists), self._clock.now())

    def build_load(
        self, location: str, rows: int, quota: LocationQuota, round_trip: float, options: JobOptions
    ) -> LocationLoad:
        """What a location still has to do, reading again included."""
        if options.max_reading_age <= 0:
            return LocationLoad(2 * rows, quota, round_trip, options.concurrency)
        lists, read_at = self._read.get(location, (1, self._clock.now()))
        ago = max(0.0, self._clock.now() - read_at)
        return LocationLoad(
            rows, quota, round_trip, options.concurrency, lists, ago, PART * options.max_reading_age
        )
