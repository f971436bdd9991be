"""The limit of one location: stated by the headers of responses, or learned from refusals.

A header that states it is believed, the newest by sequence number. Where none does, a refusal teaches it: what was
let through in this window must be the limit. That can be wrong, because somebody else may have used a part of the
window. So a learned limit grows again, by a tenth for each interval in which it was used up; each time that this
ends in a refusal, the next try comes after twice as long.

Nothing here waits or reads a clock; times come in as arguments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from .headers import INTERVAL, MAX, read_limits

_ENOUGH: Final = 5
"""Fewer requests let through than this prove nothing about a limit."""
_GROWTH: Final = 0.1
_LONGEST_BACKOFF: Final = 360
"""The most intervals between two tries."""
_FORGET: Final = 3600.0
"""For how many seconds a limit learned from refusals is kept."""


class LearnedLimit:
    """At most `max_requests` in any `interval` seconds. All times are seconds of one monotonic clock."""

    __slots__ = (
        "_backoff_intervals",
        "_configured",
        "_grow_at",
        "_growing",
        "forget_at",
        "interval",
        "max_requests",
        "stated",
        "stated_by",
        "stated_headers",
    )

    def __init__(self, max_requests: int, interval: float) -> None:
        self.max_requests = self._configured = max_requests
        self.interval = interval
        self.stated = False
        """A header has said what the limit is."""
        self.stated_headers: tuple[str | None, str | None] = (None, None)
        """The two headers that were believed last, as they came."""
        self.stated_by = 0
        """Sequence number of the newest request whose response had them; 0 if none had."""
        self._backoff_intervals = 1
        """How many intervals must pass before the next try."""
        self._growing = False
        self._grow_at = self.forget_at = math.inf
        """`forget_at`: until when what was learned from refusals is kept; infinite if nothing was."""

    def learn(self, number: int, headers: Mapping[str, str]) -> None:
        """Take over what the response to the request with this sequence number says."""
        stated = (headers.get(MAX), headers.get(INTERVAL))
        if stated == (None, None):
            return
        if stated == self.stated_headers:
            self.stated_by = max(number, self.stated_by)
            return
        if number < self.stated_by:
            return
        self.stated_headers, self.stated_by = stated, number
        limit, interval = read_limits(headers)
        self.interval = interval or self.interval
        if limit:
            self.max_requests, self.stated = limit, True
            self._grow_at = self.forget_at = math.inf

    def lower(self, let_through: int, now: float, pause_seconds: float) -> None:
        """The first request of a window was refused, in which so many others were let through or may be."""
        if self.stated or not let_through:
            return
        least = let_through if let_through >= _ENOUGH else self.max_requests // 2
        if self.forget_at < math.inf:
            self._backoff_intervals = min(2 * self._backoff_intervals, _LONGEST_BACKOFF)
        self._growing = False
        self.max_requests = max(1, min(self.max_requests, max(let_through, least)))
        self._grow_at = now + pause_seconds + self._backoff_intervals * self.interval
        self.forget_at = now + _FORGET

    def lower_by_one(self) -> None:
        """One more of them was refused, which had been counted as let through."""
        if self.forget_at < math.inf and self.max_requests > _ENOUGH:
            self.max_requests -= 1

    def grow(self, now: float) -> bool:
        """It is used up: try a little more, if it is time for that."""
        if now < self._grow_at or self.max_requests >= self._configured:
            return False
        self.max_requests = min(self._configured, self.max_requests + math.ceil(self.max_requests * _GROWTH))
        self._backoff_intervals = 1 if self._growing else self._backoff_intervals
        self._growing = True
        self._grow_at = now + self.interval
        return True

    def forget(self) -> None:
        """What was learned an hour ago is not true any more."""
        self.max_requests, self._backoff_intervals = self._configured, 1
        self._grow_at = self.forget_at = math.inf
