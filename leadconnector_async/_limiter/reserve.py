"""What bulk calls leave to interactive ones, so that nobody at a front desk waits for a job.

Of the N requests of a window, bulk calls use at most N - reserve. The reserve follows demand: it is as large as the
interactive use of the last windows, at least 5 % of N and at least one, at most half of N. So an idle front desk
costs a job about 5 %, and a busy one no more than half.

Room alone does not help a call that finds all of it used: the slots of a job that sends everything at the beginning
of a window come free together, T later. So half of N may go at once, and what is beyond is *spread* evenly over the
time until the next slot of a bulk call is free. While others use the location, no more go than slots come free, one
every T / (N - reserve); that spreads them all, from the second window on, and interactive calls go first.

A worked example, with N = 100 and T = 10 s, beside five reads in 10 s, so with a reserve of 5:

    at 0 s        50 bulk calls go at once; 45 more may, until the first slot is free at 10 s: one every 0.22 s
    at 10 s       50 slots are free, 45 in use: 5 calls go at once, then one every 10 / 95 = 0.105 s
    from 20 s     a slot comes free every 0.105 s and is used again

An interactive call that arrives when its reserve is used waits for the next such slot: 0.1 s rather than up to 10.
A job that is alone goes on as it began: 50 at once in each window, 45 spread over it.

Nothing here waits or reads a clock; times are arguments.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from ..policy import RateLimit
from .learned_limit import LearnedLimit

_LEAST: Final = 0.05
"""The least reserve that follows demand, as a part of N."""
_AT_ONCE: Final = 0.5
"""With less than this part of N in use, a bulk call goes at once: it is not spread."""
_LATE: Final = 0.02
"""How far behind its even pace, as a part of T, a job may catch up at once. Timers fire late."""
_LONG_AGO: Final = -1e9
_YIELD: Final = 0.1
"""Beside clients who use more than the reserve, a job leaves up to this part of its own use free in addition: room
for them to grow."""


def follow_demand(most: int, used: int) -> int:
    """The reserve of a window of `most` requests, of which interactive calls use `used`."""
    return min(max(used, math.ceil(_LEAST * most)), most // 2)


def scale_reserve(fixed: int, configured: int, most: int) -> int:
    """A reserve that is set, of a limit of `most` requests instead of the `configured` number: see `RateLimit`."""
    return min(fixed, max(most // 2, fixed * most // configured))


def count_at_once(most: int, reserve: int) -> int:
    """How many bulk calls go at once at the beginning of a window; the others are spread over it."""
    return min(math.ceil(_AT_ONCE * most), most - reserve) if reserve else most


class Reserve:
    """The bulk calls of one location, and what they leave. Times in seconds of one monotonic clock."""

    __slots__ = (
        "_at_most",
        "_fixed",
        "_paced_at",
        "_peak",
        "_peak_before",
        "_turn_at",
        "at_once",
        "contended",
        "cooling",
        "in_flight",
    )

    def __init__(self, limit: RateLimit) -> None:
        self._fixed, self._at_most = limit.interactive_reserve, limit.max_requests
        self.at_once = _compute_at_once(limit)
        """With less than this part of N in use, a bulk call may go."""
        self.in_flight = 0
        """Bulk calls in flight."""
        self.cooling: deque[float] = deque()
        """Bulk calls with a response that the server may still count: since when T runs."""
        self._paced_at = _LONG_AGO
        """When the last one that was spread should have gone."""
        self._peak = self._peak_before = 0
        """The most interactive requests in use, seen since the last turn and in the interval before it."""
        self._turn_at = -math.inf
        self.contended = False
        """Other clients use the location."""

    @property
    def in_use(self) -> int:
        """Slots that bulk calls take."""
        return self.in_flight + len(self.cooling)

    def measure_room(self, now: float, limit: LearnedLimit, in_use: int) -> int:
        """How many more bulk calls may be in use; less than 0 after the reserve has grown."""
        return limit.max_requests - self.measure(now, limit, in_use) - self.in_use

    def take_turn(self, now: float, limit: LearnedLimit, in_use: int, room: int) -> bool:
        """Whether the next bulk call may go now, with room for so many. If so, it goes."""
        if in_use < limit.max_requests * self.at_once:
            return True
        due = self._find_due(limit.interval, room)
        if now < due:
            return False
        self._paced_at = max(due, now - limit.interval * _LATE)
        return True

    def compute_next(self, now: float, limit: LearnedLimit, in_use: int) -> float:
        """When to ask again; not later than `now` if it is not the reserve that holds bulk calls back."""
        if in_use < limit.max_requests * self.at_once:
            return now
        room = self.measure_room(now, limit, in_use)
        if room > 0:
            return self._find_due(limit.interval, room)
        return min(self._turn_at, self.cooling[0] + limit.interval if self.cooling else math.inf)

    def compute_free_at(self, ahead: int, now: float, limit: LearnedLimit, in_use: int) -> float:
        """The earliest moment at which a bulk call with so many bulk calls ahead can go, if nothing changes."""
        share = limit.max_requests - self.measure(now, limit, in_use)
        free_at = self._find_free(ahead, now, share, limit, in_use)
        if self._fixed is not None:
            return free_at
        most = limit.max_requests - follow_demand(limit.max_requests, 0)  # the reserve may fall, but not before
        return min(free_at, max(self._turn_at, self._find_free(ahead, now, most, limit, in_use)))

    def _find_free(self, ahead: int, now: float, share: int, limit: LearnedLimit, in_use: int) -> float:
        room = share - self.in_use
        rounds, position = divmod(ahead, share)
        if position < room:
            at_once = in_use + position < limit.max_requests * self.at_once
            free_at = now if at_once else max(now, self._find_due(limit.interval, room))
        elif position - room < len(self.cooling):
            free_at = self.cooling[position - room] + limit.interval
        else:
            free_at = now + limit.interval
        return free_at + rounds * limit.interval

    def measure(self, now: float, limit: LearnedLimit, in_use: int) -> int:
        """The reserve at this moment, with so many slots of the location in use."""
        self._catch_up(now, limit.interval)
        if now >= self._turn_at:
            self._peak_before = self._peak if now < self._turn_at + limit.interval else 0
            self._peak, self._turn_at = 0, now + limit.interval
        self._peak = max(self._peak, in_use - self.in_use)
        most = limit.max_requests
        if self._fixed is not None:
            return scale_reserve(self._fixed, self._at_most, most)
        return follow_demand(most, max(self._peak, self._peak_before))

    def count_kept(self, now: float, limit: LearnedLimit, in_use: int, foreign: float) -> int:
        """Beside others who use so much, how many of the requests that remain bulk calls leave."""
        if self.at_once == math.inf:
            return 0
        reserve, own = self.measure(now, limit, in_use), self.in_use
        growing = max(0.0, min(foreign - reserve, _YIELD * own))
        return max(0, reserve - (in_use - own)) + math.ceil(growing)

    def finish(self, stamp: float, now: float, interval: float) -> None:
        """A response came: the slot is free an interval after `stamp`."""
        self.in_flight -= 1
        self.cooling.append(stamp)
        self._catch_up(now, interval)

    def _catch_up(self, now: float, interval: float) -> None:
        """Forget those that the server does not count any more."""
        cooling = self.cooling
        while cooling and cooling[0] + interval <= now:
            cooling.popleft()

    def _find_due(self, interval: float, room: int) -> float:
        """When the next one that is spread may go."""
        free_at = self.cooling[0] + interval if self.cooling else self._paced_at + interval
        gap = (free_at - self._paced_at) / (room + 1)
        if self.contended or self._peak or self._peak_before:
            gap = max(gap, interval / (room + self.in_use))
        return self._paced_at + gap


def _compute_at_once(limit: RateLimit) -> float:
    if limit.interactive_reserve == 0:
        return math.inf
    share = limit.max_requests - (limit.interactive_reserve or 0)
    return min(_AT_ONCE, (share - 0.5) / limit.max_requests)  # less a half, or rounding would let one more go
