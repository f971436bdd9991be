"""What the limit of one location is: stated by the headers of answers, or taught by refusals.

A header that states it is believed, the newest by the order of sending. Where none does, a refusal teaches: what
was let through in this window must be the limit. That can be wrong, because somebody else may have used a part of
the window. So a limit that was taught grows again, a tenth for each interval in which it was used up; each time
that this ends in a refusal, the next try comes after twice as long.

Nothing here waits and nothing here reads a clock; time comes in as an argument.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from .headers import INTERVAL, MAX, read_limits

_ENOUGH: Final = 5
"""Fewer requests let through than this are no proof of a limit."""
_GROWTH: Final = 0.1
_LONGEST_CALM: Final = 360
"""The most intervals between two tries."""
_FORGET: Final = 3600.0
"""For how many seconds a limit is kept that refusals have taught."""


class LearnedLimit:
    """At most `max_requests` in any `interval` seconds. All times are seconds of one monotonic clock."""

    __slots__ = (
        "_calm",
        "_configured",
        "_grow_at",
        "_growing",
        "forget_at",
        "interval",
        "max_requests",
        "said",
        "stated",
        "stated_by",
    )

    def __init__(self, max_requests: int, interval: float) -> None:
        self.max_requests = self._configured = max_requests
        self.interval = interval
        self.stated = False
        """A header has said what the limit is."""
        self.said: tuple[str | None, str | None] = (None, None)
        """The two headers that were believed last, as they came."""
        self.stated_by = 0
        """The newest request, by the order of sending, whose answer had them; 0 if none had."""
        self._calm = 1
        """How many intervals must pass before the next try."""
        self._growing = False
        self._grow_at = self.forget_at = math.inf
        """`forget_at`: until when what refusals have taught is kept; infinite if they have taught nothing."""

    def learn(self, number: int, headers: Mapping[str, str]) -> None:
        """Take over what the answer to the how-manyeth request says."""
        said = (headers.get(MAX), headers.get(INTERVAL))
        if said == (None, None):
            return
        if said == self.said:
            self.stated_by = max(number, self.stated_by)
            return
        if number < self.stated_by:
            return
        self.said, self.stated_by = said, number
        limit, interval = read_limits(headers)
        self.interval = interval or self.interval
        if limit:
            self.max_requests, self.stated = limit, True
            self._grow_at = self.forget_at = math.inf

    def lower(self, let_through: int, now: float, pause_seconds: float) -> None:
        """A request was refused, the first of a window in which so many others were let through or may be."""
        if self.stated or not let_through:
            return
        least = let_through if let_through >= _ENOUGH else self.max_requests // 2
        if self.forget_at < math.inf:
            self._calm = min(2 * self._calm, _LONGEST_CALM)
        self._growing = False
        self.max_requests = max(1, min(self.max_requests, max(let_through, least)))
        self._grow_at = now + pause_seconds + self._calm * self.interval
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
        self._calm = 1 if self._growing else self._calm
        self._growing = True
        self._grow_at = now + self.interval
        return True

    def forget(self) -> None:
        """What refusals have taught an hour ago is not true any more."""
        self.max_requests, self._calm = self._configured, 1
        self._grow_at = self.forget_at = math.inf
