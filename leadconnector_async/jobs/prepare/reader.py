"""Reading the calendar before anything is changed: by ranges, not event by event.

A row names an event and nothing else. So the first unread row is read by itself; it shows a calendar and a time,
and a list of the events around it shows many other rows of the plan at once. Where the plan or an earlier reading
says when an appointment was, the list comes first. `next_step` decides; `CalendarReader` sends the requests:

| event | what follows |
| --- | --- |
| `Fetched` | what the first unread row calls for |
| `RowsRead`, and one of them shows its calendar | list the range around it |
| `RangeListed`, without the row whose last known time it covers | read that row |
| any other | what the first unread row calls for; nothing if all are read |

| the first unread row | what it calls for |
| --- | --- |
| its last known time, in a calendar whose lists pay | list the range around it |
| no known time | read it |
| the same, while no calendar's lists pay | read it and up to 15 others |

Every row ends up read or refused; errors that may be transient are raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final, TypeAlias

from msgspec import Struct

from ..._api.events import LONGEST_LIST
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
MOST_AT_ONCE: Final = 16
"""Rows that are read by themselves at the same time, once lists do not pay."""
FIRST_SPAN: Final = timedelta(days=2)
MOST_MISSES: Final = 3
"""Consecutive lists that show no other row of the plan, after which a calendar is read event by event."""
_MARGIN: Final = timedelta(days=1)
_REFUSED_LISTS: Final = (BadRequestError, DecodeError, UnprocessableError, PermissionDeniedError, NotFoundError)
_REFUSED_READS: Final = (*_REFUSED_LISTS, InvalidRequestError)


class EventReading(Struct, frozen=True):
    """What was read for a row: its appointment, or why there is none."""

    number: int
    event_id: str
    found: Appointment | None = None
    reason: str = ""
    read_at: float = 0.0
    """By the clock of readings, when the request that has shown it was sent."""


KnownTime: TypeAlias = tuple[str, datetime]
"""A calendar, and when in it an appointment is or was."""
Save = Callable[[list[EventReading]], Awaitable[None]]


class ReadingState(Struct, kw_only=True):
    """What is still to be read of one location, and what its lists have shown."""

    lists: bool
    """Whether events can be listed: that takes the id of the location."""
    unread: dict[str, Unread] = {}
    """By event id, in order."""
    known: dict[str, KnownTime | None] = {}
    """By event id: where it was when it was last seen."""
    hinted: str | None = None
    """The event whose last known time the current list covers."""
    spans: dict[str, timedelta] = {}
    """By calendar: how much of it the next list covers; grows as long as lists pay."""
    misses: dict[str, int] = {}
    """By calendar: consecutive lists that did not pay."""


class Fetched(Struct, frozen=True):
    """The next unread rows."""

    rows: list[Unread]
    known: dict[str, KnownTime | None]


class RowsRead(Struct, frozen=True):
    """Rows were read by themselves."""

    readings: list[EventReading]
    locates: bool
    """As in `ReadRows`."""


class RangeListed(Struct, frozen=True):
    """A range was listed."""

    calendar_id: str
    span: timedelta
    event_ids: set[str] | None
    """The unread rows that it has shown; `None`: the server refused the list."""


class ReadRows(Struct, frozen=True):
    """Read rows by themselves."""

    rows: list[Unread]
    locates: bool = True
    """Whether to list the range around what they show."""


class ListRange(Struct, frozen=True):
    """List the events of a calendar."""

    calendar_id: str
    begin: datetime
    end: datetime
    span: timedelta


def next_step(state: ReadingState, event: Fetched | RowsRead | RangeListed) -> ReadRows | ListRange | None:
    """Decide what to request next; `None` if all rows are read."""
    if isinstance(event, Fetched):
        state.unread = {row.event_id: row for row in event.rows}
        state.known = event.known
    elif isinstance(event, RowsRead):
        for reading in event.readings:
            state.unread.pop(reading.event_id, None)
        found = _locate(event.readings) if event.locates else None
        if found is not None and not _has_given_up(state, found[0]):
            return _list_around(state, found)
    else:
        hinted, state.hinted = state.hinted, None
        _learn(state, event)
        if hinted is not None and hinted in state.unread:
            return ReadRows([state.unread[hinted]], locates=False)
    return _choose_next(state)


def _choose_next(state: ReadingState) -> ReadRows | ListRange | None:
    if not state.unread:
        return None
    first = next(iter(state.unread))
    known = state.known[first]
    if known is None or _has_given_up(state, known[0]):
        return ReadRows(list(islice(state.unread.values(), MOST_AT_ONCE if _has_given_up(state) else 1)))
    state.hinted = first
    return _list_around(state, known)


def _list_around(state: ReadingState, known: KnownTime) -> ReadRows | ListRange | None:
    calendar_id, start, last = _widen(known, [state.known[event_id] for event_id in state.unread])
    span = max(state.spans.get(calendar_id, FIRST_SPAN), last - start)
    if not state.lists:
        return next_step(state, RangeListed(calendar_id, span, None))
    begin = start.astimezone(UTC) - _MARGIN
    return ListRange(calendar_id, begin, begin + span + _MARGIN, span)


def _learn(state: ReadingState, listed: RangeListed) -> None:
    """A list pays if it shows more than the one row it was made for."""
    calendar_id = listed.calendar_id
    for event_id in listed.event_ids or ():
        state.unread.pop(event_id, None)
    if listed.event_ids is None:
        state.misses[calendar_id] = MOST_MISSES
    elif len(listed.event_ids) > 1:
        state.misses[calendar_id] = 0
        state.spans[calendar_id] = min(listed.span * 2, LONGEST_LIST)
    else:
        state.misses[calendar_id] = state.misses.get(calendar_id, 0) + 1


def _has_given_up(state: ReadingState, calendar_id: str | None = None) -> bool:
    """Whether lists of a calendar do not pay; without one, of all that were listed."""
    if calendar_id is not None:
        return state.misses.get(calendar_id, 0) >= MOST_MISSES
    return bool(state.misses) and all(misses >= MOST_MISSES for misses in state.misses.values())


def _widen(known: KnownTime, others: Iterable[KnownTime | None]) -> tuple[str, datetime, datetime]:
    """How early and how late the same list can show other rows whose time is known."""
    calendar_id, start = known
    starts = [one[1] for one in others if one is not None and one[0] == calendar_id]
    first = max(min(starts, default=start), start - LONGEST_LIST / 2)
    last = max(one for one in (start, *starts) if one <= first + LONGEST_LIST)
    return calendar_id, min(first, start), last


def _locate(readings: Iterable[EventReading]) -> KnownTime | None:
    for reading in readings:
        found = reading.found
        if found is not None and found.calendar_id is not None and found.start_time is not None:
            return found.calendar_id, found.start_time
    return None


class CalendarReader:
    """Reads the rows of one location."""

    def __init__(
        self,
        client: LeadConnector,
        location: str,
        selection: Selection,
        run: Callable[[Callable[[Journal], list[Unread]]], Awaitable[list[Unread]]],
        save: Save,
        clock: ReadingClock,
    ) -> None:
        """`run` works on the location."""
        self._client = client
        self._location = location
        self._selection: Selection = selection
        self._run = run
        self._save = save
        self._clock = clock
        self._state = ReadingState(lists=bool(location))
        self.calendars: set[str] = set()
        """Those that were listed: reading the same rows again takes at least a list of each."""

    async def read_all(self, find_known: Callable[[Unread], KnownTime | None]) -> None:
        """Read every row. `find_known` tells where a row's appointment was when it was last seen."""
        while rows := await self._run(partial(list_unread, self._selection, _FETCHED)):
            step = next_step(self._state, Fetched(rows, {row.event_id: find_known(row) for row in rows}))
            while step is not None:
                event = await (self._read(step) if isinstance(step, ReadRows) else self._list(step))
                step = next_step(self._state, event)

    async def _read(self, step: ReadRows) -> RowsRead:
        readings = await asyncio.gather(*(self._read_one(row) for row in step.rows))
        await self._save(readings)
        return RowsRead(readings, step.locates)

    async def _read_one(self, row: Unread) -> EventReading:
        read_at = self._clock.now()
        try:
            found = await self._client.get_appointment(row.event_id)
        except _REFUSED_READS as error:
            if is_transient(error):
                raise
            return EventReading(row.number, row.event_id, None, _describe(error), read_at)
        return EventReading(row.number, row.event_id, found, "", read_at)

    async def _list(self, step: ListRange) -> RangeListed:
        read_at = self._clock.now()
        self.calendars.add(step.calendar_id)
        try:
            events = await self._client.list_events(
                step.begin, step.end, calendar_id=step.calendar_id, location_id=self._location
            )
        except _REFUSED_LISTS as error:
            if is_transient(error):
                raise
            return RangeListed(step.calendar_id, step.span, None)
        shown = {event.id: event for event in events if event.id is not None}
        rows = await self._run(partial(match_unread, self._selection, list(shown)))
        await self._save([EventReading(row.number, row.event_id, shown[row.event_id], "", read_at) for row in rows])
        return RangeListed(step.calendar_id, step.span, {row.event_id for row in rows})


def _describe(error: Exception) -> str:
    if isinstance(error, PermissionDeniedError):
        return "the token has no access to this appointment: it may belong to another location"
    if isinstance(error, InvalidEventError):
        return "the event is deleted or unknown"
    return str(error.args[0])
