"""How much a server may count that weighs its last window: by how much of it is still within the interval.

Nobody tells where its windows begin, so the beginning with which it counts most is assumed. A burst may then count
in full for one interval, and in part for another; at an even pace, it counts the same wherever a window begins.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable


def measure_weighted(used: Iterable[float], now: float, interval: float) -> float:
    """The most that it can count at `now` of requests that it got at these moments, or earlier.

    The later the newer window begins, the more the older one weighs, until a request falls out of either of them.
    """
    times = sorted(at for at in used if at > now - 2 * interval)
    recent = bisect_left(times, now - interval)
    beginnings = (*times[recent:], *(at + interval for at in times[:recent]), now)
    return max(_weigh(times, beginning, now, interval) for beginning in beginnings if beginning <= now)


def _weigh(times: list[float], beginning: float, now: float, interval: float) -> float:
    newer = bisect_left(times, beginning)
    older = bisect_left(times, beginning - interval)
    return len(times) - newer + (newer - older) * (1 - (now - beginning) / interval)
