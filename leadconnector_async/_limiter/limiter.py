"""The limiter: one lane per location, and one timer for each lane that waits."""

from __future__ import annotations

import asyncio
from typing import Final

from ..policy import RateLimit
from .headers import LocationQuota
from .lane import Lane
from .slots import LocalBudget

_SWEEP_AT: Final = 64
"""Number of lanes from which on idle ones are looked for."""


class Limiter:
    """The lanes of all locations: a busy one never delays an idle one, and an idle one costs nothing.

    `lag`: by how many seconds the loop's clock may be behind.
    """

    __slots__ = ("_lag", "_limit", "_sweep_at", "lanes")

    def __init__(self, limit: RateLimit, lag: float = 0.0) -> None:
        self._limit = limit
        self._lag = lag
        self.lanes: dict[str | None, Lane] = {}
        self._sweep_at = _SWEEP_AT

    def find_lane(self, location_id: str | None, loop: asyncio.AbstractEventLoop) -> Lane:
        """The lane of a location, made on first use."""
        lane = self.lanes.get(location_id)
        if lane is None:
            if len(self.lanes) >= self._sweep_at:
                self._sweep()
            lane = self.lanes[location_id] = Lane(LocalBudget(self._limit, self._lag), loop)
        return lane

    def describe(self, location_id: str | None) -> LocationQuota:
        """The state of a location, used or not."""
        lane = self.lanes.get(location_id)
        return LocalBudget(self._limit).describe(0.0, 0) if lane is None else lane.describe()

    def _sweep(self) -> None:
        """Forget the idle lanes."""
        self.lanes = {key: lane for key, lane in self.lanes.items() if not lane.is_idle()}
        self._sweep_at = max(_SWEEP_AT, 2 * len(self.lanes))
