"""The rows of one location that are under way, and waiting for them.

Rule: a trip begins when its row is started, and ends when what came of it is on the disk, or when it is clear that
nothing has left. Whoever waits for a trip that has ended goes on.

Knows the rows. Must not know the server, nor the journal.
"""

from __future__ import annotations

import asyncio

from msgspec import Struct

from .flight import Flight
from .ledger import OpenRow


class Trip(Struct, eq=False):
    """A row under way."""

    row: OpenRow
    flight: Flight
    task: asyncio.Task[None] | None = None
    """While it is at the server, or waits for others. On its way to the disk and back, it has none."""
    kept: bool = False
    """What came of it is on its way to the disk."""
    ended: asyncio.Future[None] | None = None
    """For those that wait for it."""


class Trips:
    """All of them, by the number of their row."""

    def __init__(self) -> None:
        self._trips: dict[int, Trip] = {}
        self._landed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._trips)

    def __contains__(self, number: int) -> bool:
        return number in self._trips

    @property
    def left(self) -> int:
        """How many have left for the server."""
        return sum(trip.flight.left for trip in self._trips.values())

    def begin(self, trip: Trip) -> None:
        """It is under way."""
        self._trips[trip.row.number] = trip

    def land(self, trip: Trip) -> None:
        """It has ended."""
        self._trips.pop(trip.row.number, None)
        self._landed.set()
        if trip.ended is not None and not trip.ended.done():
            trip.ended.set_result(None)

    async def wait_for(self, number: int) -> None:
        """Until the row is not under way, or no longer."""
        trip = self._trips.get(number)
        if trip is None:
            return
        if trip.ended is None:
            trip.ended = asyncio.get_running_loop().create_future()
        await asyncio.shield(trip.ended)

    async def wait_for_some(self) -> None:
        """Until one has ended."""
        self._landed.clear()
        await self._landed.wait()

    async def drain(self) -> None:
        """Until all have ended."""
        while self._trips:
            await self.wait_for_some()

    def cancel_unsent(self) -> None:
        """Those that have not left shall not leave."""
        for trip in self._trips.values():
            if trip.task is not None and not trip.flight.left:
                trip.task.cancel()

    def abandon(self) -> None:
        """Wait for none of them any more."""
        for trip in list(self._trips.values()):
            if trip.task is None or not trip.task.cancel():
                self.land(trip)
