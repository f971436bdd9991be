"""The pause of a location after a 429: begun once per episode, never shortened, its end announced once."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

REASON: Final = "the server refused a request because of its rate limit (429)"


class Pause:
    """The current pause of a location, or the last one. Times in seconds of one monotonic clock."""

    __slots__ = ("_ended", "_since", "newest", "refusals", "until")

    def __init__(self) -> None:
        self._since = self.until = -math.inf
        self._ended = True
        """Somebody was told of its end."""
        self.newest = 0
        """The newest request that was sent before it began: its response says nothing about the time after it."""
        self.refusals: deque[float] = deque()
        """When requests were refused, within the last interval."""

    def begin(self, newest: int, now: float, seconds: float) -> None:
        """Stop sending. A pause in progress is not shortened."""
        self.newest, self._since, self._ended = newest, now, False
        self.until = max(self.until, now + seconds)

    def measure(self, now: float) -> float:
        """Seconds until it ends."""
        return max(0.0, self.until - now)

    def claim_end(self, now: float) -> float | None:
        """How long it took, to the first who asks after its end; `None` to all others."""
        if self._ended or now < self.until:
            return None
        self._ended = True
        return self.until - self._since
