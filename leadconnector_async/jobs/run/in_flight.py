"""Rows in flight: from a row's start until its outcome is on disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from ..._api.statuses import find_traits
from ...events import Event, EventHandler, Paused, Resumed
from ..journal.rows import OpenRow

_WRITE: Final = "update_appointment"
_PAUSES: Final = (Paused, Resumed)
_SHORTEST: Final = 0.0001
"""What 0 s on a loop whose clock counts in milliseconds is rounded up to; a row without a response has 0."""


class RowMetrics(Struct, gc=False):
    """What the requests of one row have shown so far."""

    requests: int = 0
    sent: bool = False
    """A write was sent, or may have been."""
    sent_before: bool = False
    """The same before the last attempt."""
    doubtful: bool = False
    """A write was sent, and its outcome is not known."""
    repeated: bool = False
    """A write was sent again after that."""
    seconds: float = 0.0
    """Duration of the last request; 0 if there was no response."""


class Moment(Struct, frozen=True):
    """A pause of a whole location, or its end."""

    at: float
    """Seconds since the epoch."""
    location: str
    kind: str
    """`paused` or `resumed`."""
    seconds: float


ROW_METRICS: Final[ContextVar[RowMetrics | None]] = ContextVar("leadconnector_row_metrics", default=None)
"""Those of the row that the running task carries out."""


class RowMeter:
    """Keeps `ROW_METRICS` up to date: counts the requests of the row of the running task."""

    def count_sent(self, operation: str) -> None:
        """A request is about to be sent."""
        if (metrics := ROW_METRICS.get()) is None:
            return
        metrics.requests += 1
        if operation == _WRITE:
            metrics.sent_before, metrics.sent = metrics.sent, True
            metrics.repeated |= metrics.doubtful

    def count_response(self, operation: str, status: int, seconds: float) -> None:
        """Its response arrived."""
        if (metrics := ROW_METRICS.get()) is not None:
            metrics.seconds = max(seconds, _SHORTEST)
            metrics.doubtful |= operation == _WRITE and find_traits(status).is_ambiguous

    def count_failure(self, operation: str, *, sent: bool) -> None:
        """No complete response arrived."""
        if operation == _WRITE and (metrics := ROW_METRICS.get()) is not None:
            metrics.doubtful |= sent
            metrics.sent = sent or metrics.sent_before


class RowListener:
    """An event handler that records pauses, with the meter of the rows; `also` receives every event as well."""

    meter: Final = RowMeter()

    def __init__(
        self,
        location: str,
        record_moment: Callable[[Moment], None],
        also: EventHandler | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._location = location
        self._record_moment = record_moment
        self._also = also
        self._clock = clock
        self.hears_calls: Final = also is not None
        """Pauses are heard in any case; all other events only `also` needs."""

    def __call__(self, event: Event) -> None:
        """Record a pause or its end, and pass the event on."""
        if isinstance(event, _PAUSES):
            kind = "paused" if isinstance(event, Paused) else "resumed"
            self._record_moment(Moment(self._clock(), self._location, kind, event.seconds))
        if self._also is not None:
            self._also(event)


RowPhase: TypeAlias = Literal[
    "new", "saving_intent", "queued", "running", "restoring", "requeueing", "saving_outcome"
]
"""How far a row in flight is. It has a task only while `running`, `restoring` or `requeueing`."""


class InFlightRow(Struct, eq=False):
    """A row in flight."""

    row: OpenRow
    metrics: RowMetrics
    phase: RowPhase = "new"
    task: asyncio.Task[object] | None = None
    holds_slot: bool = False
    """It is one of those that may send requests at the same time."""
    granted_at: float = 0.0
    """When it got its slot, on the loop's clock."""
    slot: asyncio.Future[None] | None = None
    """Where its task waits for a slot."""
    ended: asyncio.Future[None] | None = None
    """Where others wait for its end."""


class InFlightRows:
    """The rows of one location that are in flight, by number."""

    def __init__(self) -> None:
        self.by_number: dict[int, InFlightRow] = {}
        self._one_ended = asyncio.Event()

    @property
    def sent(self) -> int:
        """How many have sent their write."""
        return sum(one.metrics.sent for one in self.by_number.values())

    def remove(self, one: InFlightRow) -> None:
        """It is no longer in flight."""
        self.by_number.pop(one.row.number, None)
        self._one_ended.set()
        if one.ended is not None and not one.ended.done():
            one.ended.set_result(None)

    async def wait_for(self, number: int) -> None:
        """Return as soon as the row is not in flight."""
        one = self.by_number.get(number)
        if one is None:
            return
        if one.ended is None:
            one.ended = asyncio.get_running_loop().create_future()
        await asyncio.shield(one.ended)

    async def wait_for_any(self) -> None:
        """Return when a row has ended."""
        self._one_ended.clear()
        await self._one_ended.wait()

    async def drain(self) -> None:
        """Return when all rows have ended."""
        while self.by_number:
            await self.wait_for_any()

    def cancel_unsent(self) -> None:
        """Cancel the tasks of rows that have not sent their write."""
        for one in self.by_number.values():
            if one.task is not None and not one.metrics.sent:
                one.task.cancel()

    def abandon(self) -> None:
        """Cancel every task, and stop waiting for the disk."""
        for one in list(self.by_number.values()):
            if one.task is None:
                self.remove(one)
            else:
                one.task.cancel()
