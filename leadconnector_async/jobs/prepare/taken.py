"""Which slots that a plan wants are held by appointments outside of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from msgspec import Struct

from ..._api.events import LONGEST_LIST
from ...client import LeadConnector
from ...exceptions import LeadConnectorError
from ...models import Appointment
from ..journal.counts import ChangeRow, list_changes, list_planned
from ..journal.protocol import Journal
from .check import build_busy_time

MOST_LISTS: Final = 200
"""How many lists of events are read; slots beyond them are not checked."""
_LONGEST: Final = LONGEST_LIST.total_seconds()
_MARGIN: Final = timedelta(days=1)
_HOUR: Final = 3600
Owner: TypeAlias = tuple[str, str]
"""A location, and whose time it is there: a user, or a calendar."""
Times: TypeAlias = list[tuple[int, int]]


class WantedSlots(Struct, frozen=True):
    """The slots that a plan wants, in seconds since the epoch."""

    by_owner: dict[Owner, Times]
    calendars: set[Owner]
    """The owners that are calendars."""
    planned: set[tuple[str, str]]
    """Location and id of the appointments of the plan: what is in its way by them is decided by the job."""


class TakenSlots:
    """Appointments outside of a plan, and where they could not be read."""

    def __init__(self) -> None:
        self._busy: dict[tuple[Owner, int], list[tuple[int, int, Appointment]]] = {}
        self._unread: set[Owner] = set()

    def add(self, location: str, event: Appointment) -> None:
        """Add an appointment, if it takes time."""
        busy = build_busy_time(event)
        if busy is None or busy.owner is None or event.deleted:
            return
        for hour in range(busy.start // _HOUR, (busy.end - 1) // _HOUR + 1):
            self._busy.setdefault(((location, busy.owner), hour), []).append((busy.start, busy.end, event))

    def leave_out(self, owner: Owner) -> None:
        """Somebody's time could not be read, or not all of it."""
        self._unread.add(owner)

    def find(self, row: ChangeRow) -> Appointment | bool | None:
        """The appointment that holds the slot of a row; `None`: none does; `False`: that was not checked."""
        slot = find_slot(row)
        if slot is None:
            return None
        owner, start, end = slot
        for hour in range(start // _HOUR, (end - 1) // _HOUR + 1):
            for begins, ends, event in self._busy.get((owner, hour), ()):
                if begins < end and start < ends:
                    return event
        return False if owner in self._unread else None


def find_slot(row: ChangeRow) -> tuple[Owner, int, int] | None:
    """Whose time a row wants; `None` if it takes no other than now, or asks not to check it."""
    owner, start, end = row.owner_after, row.start_after, row.end_after
    if owner is None or start is None or end is None or row.wanted.update.ignore_free_slot_validation is True:
        return None
    stays = (owner, start, end) == (row.owner_before, row.start_before, row.end_before)
    return None if stays else ((row.location, owner), start, end)


def list_wanted(journal: Journal) -> WantedSlots:
    """The slots that the changes to send want."""
    found = WantedSlots({}, set(), set())
    for row in list_changes(journal):
        slot = find_slot(row)
        if slot is None:
            continue
        owner, start, end = slot
        found.by_owner.setdefault(owner, []).append((start, end))
        if owner[1] in (row.wanted.update.calendar_id, row.before.calendar_id):
            found.calendars.add(owner)
    found.planned.update(list_planned(journal))
    return found


async def read_taken(wanted: WantedSlots, find_client: Callable[[str], LeadConnector]) -> TakenSlots:
    """List the appointments around the slots that a plan wants, of each person by ranges of a month."""
    taken = TakenSlots()

    async def read(owner: Owner, begin: datetime, end: datetime) -> None:
        location, name = owner
        client = find_client(location).with_options(priority="bulk")
        whose = {"calendar_id": name} if owner in wanted.calendars else {"user_id": name}
        try:
            events = await client.list_events(begin, end, location_id=location or None, **whose)
        except LeadConnectorError:
            taken.leave_out(owner)
            return
        for event in events:
            if (location, event.id) not in wanted.planned:
                taken.add(location, event)

    lists = [(owner, *one) for owner, times in wanted.by_owner.items() for one in _join(times)]
    for owner, *_ in lists[MOST_LISTS:]:
        taken.leave_out(owner)
    await asyncio.gather(*(read(*one) for one in lists[:MOST_LISTS]))
    return taken


def _join(times: Iterable[tuple[int, int]]) -> Iterator[tuple[datetime, datetime]]:
    """The ranges to list: as few as there are months."""
    begin = until = None
    for start, end in sorted(times):
        if begin is None or until is None:
            begin, until = start, end
        elif max(end, until) - begin <= _LONGEST:
            until = max(end, until)
        else:
            yield _widen(begin, until)
            begin, until = start, end
    if begin is not None and until is not None:
        yield _widen(begin, until)


def _widen(begin: int, until: int) -> tuple[datetime, datetime]:
    return datetime.fromtimestamp(begin, UTC) - _MARGIN, datetime.fromtimestamp(until, UTC) + _MARGIN
