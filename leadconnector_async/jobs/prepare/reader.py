"""Reading the calendar before anything is changed: by ranges, not event by event.

A row names an event and nothing else. So the first row that was not read yet is read by itself (or not even that,
where the plan says when it was); it shows a calendar and a day, and the list of that stretch shows many other
rows of the plan at once. Stretches grow as long as they pay, and where they do not, rows are read one by one.

Every row ends up read or refused; what cannot be told apart from a bad moment of the network is raised.

Must not decide what a row does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeAlias

from msgspec import Struct

from ..._api.precondition import ReadingClock
from ...client import LeadConnector
from ...exceptions import (
    BadRequestError,
    DecodeError,
    InvalidEventError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    UnprocessableError,
)
from ...models import Appointment
from ..journal.preparing import Selection, Unread, list_unread, match_unread
from ..journal.protocol import Journal
from ..states import is_transient

_FETCHED: Final = 200
_AT_ONCE: Final = 16
_FIRST_STRETCH: Final = timedelta(days=2)
_LONGEST_STRETCH: Final = timedelta(days=31)
_MOST_MISSES: Final = 3
"""Lists in a row that show no other row of the plan, after which a calendar is read event by event."""
_REFUSALS: Final = (
    BadRequestError,
    DecodeError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    UnprocessableError,
)


class EventReading(Struct, frozen=True):
    """What was seen of a row: its appointment, or why there is none."""

    number: int
    event_id: str
    found: Appointment | None = None
    reason: str = ""
    read_at: float = 0.0
    """By the clock of readings, when the request that has shown it was sent."""


Place: TypeAlias = tuple[str, datetime]
"""A calendar, and when in it."""
Keep = Callable[[list[EventReading]], Awaitable[None]]
"""Takes over what was seen."""


class CalendarReader:
    """Reads the rows of one location."""

    def __init__(
        self,
        client: LeadConnector,
        location: str,
        selection: Selection,
        run: Callable[[Callable[[Journal], list[Unread]]], Awaitable[list[Unread]]],
        keep: Keep,
        clock: ReadingClock,
    ) -> None:
        self._client = client
        self._location = location
        self._selection: Selection = selection
        self._run = run
        self._keep = keep
        self._clock = clock
        self._stretches: dict[str, timedelta] = {}
        self._misses: dict[str, int] = {}
        self.calendars: set[str] = set()
        """Those that it has listed: reading the same rows again takes a list of each at least."""

    async def read_all(self, last_place: Callable[[Unread], Place | None]) -> None:
        """Read every row. `last_place` tells where a row's appointment was when last seen."""
        while rows := await self._run(partial(list_unread, self._location, self._selection, _FETCHED)):
            await self._read_some(rows, last_place)

    async def _read_some(self, rows: list[Unread], last_place: Callable[[Unread], Place | None]) -> None:
        left = {row.event_id: row for row in rows}
        places = {row.event_id: last_place(row) for row in rows}
        while left:
            first = next(iter(left.values()))
            place = places[first.event_id]
            if place is None or self._has_given_up(place[0]):
                singles = list(left.values())[: _AT_ONCE if self._has_given_up() else 1]
                sights = await asyncio.gather(*(self._read_one(row) for row in singles))
                await self._keep(list(sights))
                for row in singles:
                    left.pop(row.event_id)
                place = _locate(sights)
            if place is not None and not self._has_given_up(place[0]):
                seen = await self._list_around(*_widen(place, [places[one] for one in left]))
                for event_id in seen:
                    left.pop(event_id, None)
                if first.event_id in left:  # it is not where the plan saw it
                    await self._keep([await self._read_one(left.pop(first.event_id))])

    def _has_given_up(self, calendar_id: str | None = None) -> bool:
        if calendar_id is not None:
            return self._misses.get(calendar_id, 0) >= _MOST_MISSES
        return bool(self._misses) and all(misses >= _MOST_MISSES for misses in self._misses.values())

    async def _read_one(self, row: Unread) -> EventReading:
        read_at = self._clock.now()
        try:
            found = await self._client.get_appointment(row.event_id)
        except _REFUSALS as error:
            if is_transient(error):
                raise
            return EventReading(row.number, row.event_id, None, _describe(error), read_at)
        return EventReading(row.number, row.event_id, found, "", read_at)

    async def _list_around(self, calendar_id: str, start: datetime, last: datetime) -> set[str]:
        """List a stretch of a calendar, to `last` at least; returns the ids of the rows that it has shown."""
        if not self._location:
            self._misses[calendar_id] = _MOST_MISSES
            return set()
        stretch = max(self._stretches.get(calendar_id, _FIRST_STRETCH), last - start)
        begin, read_at = start.astimezone(UTC) - timedelta(days=1), self._clock.now()
        self.calendars.add(calendar_id)
        try:
            events = await self._client.list_events(
                begin,
                begin + stretch + timedelta(days=1),
                calendar_id=calendar_id,
                location_id=self._location or None,
            )
        except (BadRequestError, DecodeError, UnprocessableError, PermissionDeniedError, NotFoundError) as error:
            if is_transient(error):
                raise
            self._misses[calendar_id] = _MOST_MISSES
            return set()
        shown = {event.id: event for event in events if event.id is not None}
        rows = await self._run(partial(match_unread, self._location, self._selection, list(shown)))
        await self._keep([EventReading(row.number, row.event_id, shown[row.event_id], "", read_at) for row in rows])
        self._learn(calendar_id, stretch, len(rows))
        return {row.event_id for row in rows}

    def _learn(self, calendar_id: str, stretch: timedelta, shown: int) -> None:
        if shown > 1:
            self._misses[calendar_id] = 0
            self._stretches[calendar_id] = min(stretch * 2, _LONGEST_STRETCH)
        else:
            self._misses[calendar_id] = self._misses.get(calendar_id, 0) + 1


def _widen(place: Place, others: Iterable[Place | None]) -> tuple[str, datetime, datetime]:
    """A place, and how early and how late the same list can show others that are known."""
    calendar_id, start = place
    starts = [one[1] for one in others if one is not None and one[0] == calendar_id]
    first = max(min(starts, default=start), start - _LONGEST_STRETCH / 2)
    last = max(one for one in (start, *starts) if one <= first + _LONGEST_STRETCH)
    return calendar_id, min(first, start), last


def _locate(sights: Iterable[EventReading]) -> Place | None:
    for sight in sights:
        found = sight.found
        if found is not None and found.calendar_id is not None and found.start_time is not None:
            return found.calendar_id, found.start_time
    return None


def _describe(error: Exception) -> str:
    if isinstance(error, PermissionDeniedError):
        return "the token has no access to this appointment: it may belong to another location"
    if isinstance(error, InvalidEventError):
        return "the event is deleted or unknown"
    return str(error.args[0])
