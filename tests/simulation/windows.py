"""Other ways in which a server may count requests; nobody outside knows which one the real server uses.

Each takes the place of the sandbox's own `SlidingWindow`. Time is an argument; a window never reads the clock.
"""

import math
from typing import Final, Literal, TypeAlias

from leadconnector_async.sandbox import Sandbox
from leadconnector_async.sandbox.rate_limits import SlidingWindow

Algorithm: TypeAlias = Literal["fixed", "opened", "sliding", "counting", "bucket", "counter"]
"""The name of a window: see `WINDOWS`."""

_ROUNDING: Final = 1e-9


class FixedWindow(SlidingWindow):
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

    def admit(self, most: int, interval: float, now: float) -> bool:
        """Count one, if there is room."""
        allowed = self.count(most, interval, now) < most
        self._count += allowed
        return allowed

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


class CountingWindow(SlidingWindow):
    """A log in which rejected requests count too: whoever hammers is never allowed in."""

    def admit(self, most: int, interval: float, now: float) -> bool:
        """Log it in any case."""
        allowed = super().admit(most, interval, now)
        if not allowed:
            self._log.append(now)
        return allowed


class Bucket(SlidingWindow):
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

    def admit(self, most: int, interval: float, now: float) -> bool:
        """Spend a token, if there is one."""
        allowed = self.count(most, interval, now) < most
        self._spent += allowed
        return allowed

    def compute_wait(self, most: int, interval: float, now: float) -> float:
        """Until there is a whole token."""
        return max(0.0, (self._spent - most + 1) * interval / most)


class Counter(SlidingWindow):
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

    def admit(self, most: int, interval: float, now: float) -> bool:
        """Count one in the newer window, if there is room."""
        allowed = self.count(most, interval, now) <= most - 1
        self._count += allowed
        return allowed

    def compute_wait(self, most: int, interval: float, now: float) -> float:
        """Until the older of the two weighs little enough; that may be the one that is the newer now."""
        left = (1 - self._age) * interval
        if self._count > most - 1:
            return left + (1 - (most - 1) / self._count) * interval
        if self._before * (1 - self._age) + self._count <= most - 1:
            return 0.0
        return min(left, (1 - self._age - (most - 1 - self._count) / self._before) * interval)


WINDOWS: Final[dict[Algorithm, type[SlidingWindow]]] = {
    "fixed": FixedWindow,
    "opened": OpenedWindow,
    "sliding": SlidingWindow,
    "counting": CountingWindow,
    "bucket": Bucket,
    "counter": Counter,
}


def count_by(sandbox: Sandbox, algorithm: Algorithm) -> None:
    """Let a sandbox that has seen no request yet count them in this way."""
    sandbox._app.rate_limits.make_window = WINDOWS[algorithm]
