"""Six ways in which a server may count requests; nobody outside knows which one the real server uses.

Each window counts at most `most` requests in `interval` seconds, as it understands that. `most` and `interval`
may change from one request to the next.

Time comes in as an argument. A window never looks at the clock and never forgets who was let through.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, Literal, Protocol, TypeAlias

Algorithm: TypeAlias = Literal["fixed", "opened", "sliding", "counting", "bucket", "counter"]
"""The name of a window: see `WINDOWS`."""

_ROUNDING: Final = 1e-9


class Window(Protocol):
    """A way of counting."""

    def count(self, most: int, interval: float, now: float) -> float:
        """Requests that count now."""
        ...

    def add(self, now: float) -> None:
        """Count one that is let through."""

    def refuse(self, now: float) -> None:
        """Take note of one that is not."""

    def compute_wait(self, most: int, interval: float, now: float) -> float:
        """Seconds until one more would be let through, if nobody else asks."""
        ...


class FixedWindow:
    """A counter that starts anew whenever a multiple of `interval` has passed."""

    def __init__(self) -> None:
        self._opened = -math.inf
        self._count = 0

    def count(self, most: int, interval: float, now: float) -> float:
        """Requests since this window was opened."""
        opened = now // interval * interval
        if opened != self._opened:
            self._opened, self._count = opened, 0
        return self._count

    def add(self, now: float) -> None:
        """Count one."""
        self._count += 1

    def refuse(self, now: float) -> None:
        """A refusal does not count."""

    def compute_wait(self, most: int, interval: float, now: float) -> float:
        """Until the next window is opened."""
        return 0.0 if self.count(most, interval, now) < most else self._opened + interval - now


class OpenedWindow(FixedWindow):
    """A counter that starts anew with the first request that comes after its `interval`."""

    def count(self, most: int, interval: float, now: float) -> float:
        """Requests since the one that opened this window."""
        if now >= self._opened + interval:
            self._opened, self._count = now, 0
        return self._count


class SlidingWindow:
    """A log of the requests of the last `interval` seconds."""

    def __init__(self) -> None:
        self._log: deque[float] = deque()

    def count(self, most: int, interval: float, now: float) -> float:
        """Length of the log."""
        while self._log and self._log[0] + interval <= now:
            self._log.popleft()
        return len(self._log)

    def add(self, now: float) -> None:
        """Log one."""
        self._log.append(now)

    def refuse(self, now: float) -> None:
        """A refusal does not count."""

    def compute_wait(self, most: int, interval: float, now: float) -> float:
        """Until enough of the oldest leave the log."""
        surplus = len(self._log) - most
        return 0.0 if surplus < 0 else max(0.0, self._log[surplus] + interval - now)


class CountingWindow(SlidingWindow):
    """A log in which refused requests count too: whoever hammers is never let through."""

    def refuse(self, now: float) -> None:
        """Log it as well."""
        self._log.append(now)


class Bucket:
    """A bucket of `most` tokens that fills evenly, `most` in `interval` seconds."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._at = -math.inf

    def count(self, most: int, interval: float, now: float) -> float:
        """Tokens that are missing, to the next whole one."""
        passed = now - self._at
        self._spent = max(0.0, self._spent - passed * most / interval) if passed < math.inf else 0.0
        self._at = now
        return math.ceil(self._spent - _ROUNDING)

    def add(self, now: float) -> None:
        """Spend a token."""
        self._spent += 1

    def refuse(self, now: float) -> None:
        """A refusal spends nothing."""

    def compute_wait(self, most: int, interval: float, now: float) -> float:
        """Until there is a whole token."""
        return max(0.0, (self._spent - most + 1) * interval / most)


class Counter:
    """Two fixed windows, of which the older counts by how much of it still lies within the last `interval`."""

    def __init__(self) -> None:
        self._number = -1
        self._before = self._count = 0
        self._age = 0.0

    def count(self, most: int, interval: float, now: float) -> float:
        """The weighted sum."""
        number, self._age = int(now // interval), now % interval / interval
        if number != self._number:
            self._before = self._count if number == self._number + 1 else 0
            self._number, self._count = number, 0
        return self._before * (1 - self._age) + self._count

    def add(self, now: float) -> None:
        """Count one in the newer window."""
        self._count += 1

    def refuse(self, now: float) -> None:
        """A refusal does not count."""

    def compute_wait(self, most: int, interval: float, now: float) -> float:
        """Until the older of the two weighs little enough; that may be the one that is the newer now."""
        left = (1 - self._age) * interval
        if self._count > most - 1:
            return left + (1 - (most - 1) / self._count) * interval
        if self._before * (1 - self._age) + self._count <= most - 1:
            return 0.0
        return min(left, (1 - self._age - (most - 1 - self._count) / self._before) * interval)


WINDOWS: Final[dict[Algorithm, type[Window]]] = {
    "fixed": FixedWindow,
    "opened": OpenedWindow,
    "sliding": SlidingWindow,
    "counting": CountingWindow,
    "bucket": Bucket,
    "counter": Counter,
}
