"""What rows change: titles, and times in the calendar's zone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from ..._api.fields import TIMES
from ..._validation.text import escape
from ...models import Appointment
from ..journal.counts import ChangeRow, ListedRow, list_changes
from ..journal.protocol import Journal
from ..plan.wanted_change import WantedChange
from .names import ContactKey
from .taken import TakenSlots
from .zones import Calendar, CalendarZones, name_offset

_TO: Final = " -> "
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Stay(Struct, frozen=True):
    """When an appointment begins and ends, in the timezone of its calendar."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """How long it takes."""
        return self.end - self.start


class Known(Struct, frozen=True):
    """What was read of the calendars for a preview, besides the appointments."""

    zones: CalendarZones
    taken: TakenSlots | None = None
    """`None` if slots are not checked."""
    names: Mapping[ContactKey, str] = {}
    """Those of contacts, as far as they were asked for."""


class RowChange(Struct, frozen=True):
    """A row that changes an appointment."""

    line: int
    event_id: str
    location: str
    found: Appointment
    """The appointment as it was read."""
    wanted: WantedChange
    before: Stay | None
    """`None` if the response does not show its times."""
    after: Stay | None
    differences: tuple[tuple[str, str, str], ...]
    """What else changes besides the times: field, before and after, in words."""
    knows_zone: bool
    """Whether the clock is the calendar's; otherwise it is that of the assignee or of UTC."""
    is_sure: bool
    """Whether it is also sure that the clock shows the new time so: clocks change."""
    holder: Appointment | bool | None
    """The appointment outside of the plan that holds its slot; `False`: that could not be checked."""
    name: str
    """Of the contact; empty if it was not asked for, or is not known."""

    @property
    def moves(self) -> bool:
        """Whether it gets another start or end."""
        return self.before != self.after


def learn_zones(journal: Journal) -> CalendarZones:
    """What the changes to send show of the zones of their calendars."""
    zones = CalendarZones()
    for row in list_changes(journal):
        learn_zone(zones, row)
    return zones


def learn_zone(zones: CalendarZones, row: ChangeRow) -> None:
    """Learn from one change."""
    event = row.before
    starts = (_read_instant(one) for one in (row.start_before, row.start_after) if one is not None)
    zones.learn(_find_calendar(row.location, event), event.start_time, row.wanted.timezone, starts)


def read_changes(known: Known, journal: Journal) -> Iterator[RowChange]:
    """The changes to send, by line."""
    for row in list_changes(journal):
        yield build_change(row, known)


def render_moment(moment: datetime) -> str:
    """A time with its weekday, without its zone."""
    return f"{_DAYS[moment.weekday()]} {moment:%Y-%m-%d %H:%M}"


def render_length(length: timedelta) -> str:
    """How long an appointment takes."""
    minutes = int(length.total_seconds()) // 60
    days, rest = divmod(minutes, 1440)
    parts = ((days, "d"), (rest // 60, "h"), (rest % 60, "min"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 min"


def render_move(before: Stay, after: Stay) -> str:
    """From when to when, by the calendar's clock on both sides; with both offsets if the clocks change."""
    old, new = render_moment(before.start), render_moment(after.start)
    zones = name_zones(before, after).split(_TO)
    return f"{old} ({zones[0]}){_TO}{new} ({zones[1]})" if len(zones) > 1 else f"{old}{_TO}{new} ({zones[0]})"


def name_zones(before: Stay, after: Stay) -> str:
    """The offset of both times, or of each."""
    return _TO.join(dict.fromkeys(name_offset(one.start) for one in (before, after)))


def render_title(event: Appointment) -> str:
    """The title, on one line."""
    return _flatten(event.title)


def _flatten(text: str | None) -> str:
    return escape(" ".join((text or "").split()))


def place_start(zones: CalendarZones, row: ListedRow) -> datetime | None:
    """When the appointment of a row was, in the timezone of its calendar; `None` if that is not known."""
    event = row.before
    if row.start_before is None:
        return None
    calendar, moment = _find_calendar(row.location, event), _read_instant(row.start_before)
    zones.learn(calendar, event.start_time, row.wanted.timezone, ())
    return moment.astimezone(zones.find(calendar, moment))


def _find_calendar(location: str, event: Appointment) -> Calendar:
    return location, event.calendar_id or ""


def build_change(row: ChangeRow, known: Known) -> RowChange:
    """A change, in the words and the timezone of its calendar."""
    event = row.before
    calendar, zones = _find_calendar(row.location, event), known.zones

    def place(start: int | None, end: int | None) -> Stay | None:
        if start is None or end is None:
            return None
        begins = _read_instant(start)
        zone = zones.find(calendar, begins)
        return Stay(begins.astimezone(zone), _read_instant(end).astimezone(zone))

    return RowChange(
        row.line,
        row.event_id,
        row.location,
        event,
        row.wanted,
        place(row.start_before, row.end_before),
        place(row.start_after, row.end_after),
        tuple(one for one in row.differences if one[0] not in TIMES),
        zones.is_known(calendar),
        row.start_after is not None and zones.is_sure(calendar, _read_instant(row.start_after)),
        None if known.taken is None else known.taken.find(row),
        _flatten(known.names.get((row.location, event.contact_id or ""))),
    )


def _read_instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
