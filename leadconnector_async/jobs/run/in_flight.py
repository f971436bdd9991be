"""Rows whose requests are under way: what is known of each, and waiting for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from msgspec import Struct

from ..._api.statuses import find_traits
from ...events import Event, EventHandler, Paused, RequestFailed, RequestSent, ResponseReceived, Resumed
from ..journal.rows import OpenRow

_WRITE: Final = "update_appointment"
_PAUSES: Final = (Paused, Resumed)
_SHORTEST: Final = 0.0001
"""What a loop whose clock counts in milliseconds takes for nothing; 0 says that nothing was answered."""


class RowMetrics(Struct, gc=False):
    """One row on its way."""

    requests: int = 0
    left: bool = False
    """A write has left, or may have."""
    doubtful: bool = False
    """A write has left, and nobody knows what came of it."""
    repeated: bool = False
    """It was sent again after that."""
    seconds: float = 0.0
    """What the last answer took; 0 if there was none."""
    placed: bool = False
    """It has one of the places of those that are at the server at once."""


class Moment(Struct, frozen=True):
    """Something that happened to a whole location."""

    at: float
    """Seconds since the epoch."""
    location: str
    kind: str
    """`paused` or `resumed`."""
    seconds: float


FLIGHT: Final[ContextVar[RowMetrics | None]] = ContextVar("leadconnector_flight", default=None)


def listen(
    location: str, tell: Callable[[Moment], None], also: EventHandler | None, clock: Callable[[], float] = time.time
) -> EventHandler:
    """A handler of events that keeps the flights; `also` is told of everything as well."""

    def handle(event: Event) -> None:
        if (flight := FLIGHT.get()) is not None:
            _note(flight, event)
        if isinstance(event, _PAUSES):
            kind = "paused" if isinstance(event, Paused) else "resumed"
            tell(Moment(clock(), location, kind, event.seconds))
        if also is not None:
            also(event)

    return handle


def _note(flight: RowMetrics, event: Event) -> None:
    match event:
        case RequestSent(operation=operation):
            flight.requests += 1
            if operation == _WRITE:
                flight.left = True
                flight.repeated |= flight.doubtful
        case ResponseReceived(operation=operation, seconds=seconds, status=status):
            flight.seconds = max(seconds, _SHORTEST)
            flight.doubtful |= operation == _WRITE and find_traits(status).is_ambiguous
        case RequestFailed(operation=operation, sent=sent):
            flight.doubtful |= operation == _WRITE and sent
        case _:
            pass


class InFlightRow(Struct, eq=False):
    """A row under way."""

    row: OpenRow
    flight: RowMetrics
    task: asyncio.Task[None] | None = None
    """While it is at the server, or waits for others. On its way to the disk and back, it has none."""
    kept: bool = False
    """What came of it is on its way to the disk."""
    ended: asyncio.Future[None] | None = None
    """For those that wait for it."""


class InFlightRows:
    """All of them, by the number of their row."""

    def __init__(self) -> None:
        self._trips: dict[int, InFlightRow] = {}
        self._landed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._trips)

    def __contains__(self, number: int) -> bool:
        return number in self._trips

    @property
    def left(self) -> int:
        """How many have left for the server."""
        return sum(trip.flight.left for trip in self._trips.values())

    def begin(self, trip: InFlightRow) -> None:
        """It is under way."""
        self._trips[trip.row.number] = trip

    def land(self, trip: InFlightRow) -> None:
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
