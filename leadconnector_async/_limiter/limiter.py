"""The limiter: one lane per location, and one timer for each lane that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import structs

from ..policy import RateLimit
from .headers import LocationQuota
from .lane import Lane
from .slots import LocalBudget

OpenLane: TypeAlias = Callable[[str | None, RateLimit, float, asyncio.AbstractEventLoop], Lane]
"""Opens the lane of a location; it may be one that others in this process use."""

_SWEEP_AT: Final = 64
"""Number of lanes from which on idle ones are looked for."""


class Limiter:
    """The lanes of all locations: a busy one never delays an idle one, and an idle one costs nothing.

    `lag`: by how many seconds the loop's clock may be behind. `open_lane` opens the lane of a location whose limit
    processes share.
    """

    __slots__ = ("_lag", "_limit", "_open_lane", "_sweep_at", "lanes")

    def __init__(self, limit: RateLimit, lag: float = 0.0, open_lane: OpenLane | None = None) -> None:
        self._limit = limit
        self._lag = lag
        self._open_lane = open_lane
        self.lanes: dict[str | None, Lane] = {}
        self._sweep_at = _SWEEP_AT

    def find_lane(self, location_id: str | None, loop: asyncio.AbstractEventLoop) -> Lane:
        """The lane of a location, made on first use."""
        lane = self.lanes.get(location_id)
        if lane is None:
            if len(self.lanes) >= self._sweep_at:
                self._sweep()
            lane = self.lanes[location_id] = self._make_lane(location_id, loop)
        return lane

    def describe(self, location_id: str | None) -> LocationQuota:
        """The state of a location, used or not."""
        lane = self.lanes.get(location_id)
        if lane is not None:
            return lane.describe()
        quota = LocalBudget(self._limit).describe(0.0, 0)
        return quota if self._open_lane is None else structs.replace(quota, source="shared")

    def _make_lane(self, location_id: str | None, loop: asyncio.AbstractEventLoop) -> Lane:
        if self._open_lane is None:
            return Lane(LocalBudget(self._limit, self._lag), loop)
        return self._open_lane(location_id, self._limit, self._lag, loop)

    def _sweep(self) -> None:
        """Forget the idle lanes."""
        self.lanes = {key: lane for key, lane in self.lanes.items() if not lane.is_idle()}
        self._sweep_at = max(_SWEEP_AT, 2 * len(self.lanes))
