"""What the sandbox stores. `BookedAppointment` is its table of fields: a row says where a field occurs on the wire.

This is the sandbox's own view of the real server: it shares no table with the client, so that a mistake in one of
the two shows.
"""

from __future__ import annotations

from datetime import datetime
from enum import Flag, auto
from typing import Annotated, Final, Literal, TypeAlias, get_type_hints

from msgspec import Struct

_FREES_ITS_SLOT: Final = frozenset({"cancelled", "invalid"})
_STATUSES: Final = frozenset({"new", "confirmed", "cancelled", "showed", "noshow", "invalid", "completed"})
_LOCATION_TYPES: Final = frozenset({"custom", "zoom", "gmeet", "phone", "address", "ms_teams", "google", "default"})


class In(Flag):
    """The request and response bodies in which a field occurs as it is stored."""

    CREATE = auto()
    UPDATE = auto()
    BLOCK = auto()
    """A block slot that is created or updated."""
    WRITTEN = auto()
    """The response to a create or an update."""
    EVENT = auto()
    """The response to a get or a list."""
    WRITES = CREATE | UPDATE
    SHOWN = WRITTEN | EVENT
    ALL = WRITES | SHOWN


class Wire(Struct, frozen=True):
    """How one field is written in requests and responses."""

    name: str
    bodies: In
    choices: frozenset[str] = frozenset()
    """The words that it may hold; any text if empty."""


class BookedAppointment(Struct, frozen=True, kw_only=True):
    """The state of one appointment.

    Responses also contain what is not stored as it is shown: times, statuses, and what follows from other fields.
    """

    id: Annotated[str, Wire("id", In.SHOWN)]
    """The event id."""
    location_id: Annotated[str, Wire("locationId", In.CREATE | In.BLOCK | In.SHOWN)]
    """The location that owns the calendar."""
    calendar_id: Annotated[str, Wire("calendarId", In.ALL | In.BLOCK)]
    """The calendar it is booked in; empty for a block slot of a user."""
    contact_id: Annotated[str, Wire("contactId", In.CREATE | In.SHOWN)]
    """The contact that it is with."""
    title: Annotated[str, Wire("title", In.ALL | In.BLOCK)]
    """Shown in calendars and notifications."""
    appointment_status: Annotated[str, Wire("appointmentStatus", In.WRITES, _STATUSES)]
    """One of `AppointmentStatus`; `completed` is stored as `showed`."""
    assigned_user_id: Annotated[str, Wire("assignedUserId", In.ALL | In.BLOCK)]
    """The team member it is assigned to; empty if there is none."""
    start_time: Annotated[datetime, Wire("startTime", In.WRITES | In.BLOCK)]
    """Aware, in UTC."""
    end_time: Annotated[datetime, Wire("endTime", In.WRITES | In.BLOCK)]
    """Aware, in UTC."""
    address: Annotated[str, Wire("address", In.ALL)] = ""
    """The meeting location."""
    description: Annotated[str, Wire("description", In.WRITES | In.EVENT)] = ""
    """A text for the team."""
    meeting_location_type: Annotated[
        str | None, Wire("meetingLocationType", In.WRITES | In.WRITTEN, _LOCATION_TYPES)
    ] = None
    """One of `MeetingLocationType`."""
    meeting_location_id: Annotated[str | None, Wire("meetingLocationId", In.WRITES)] = None
    """The id of the location configuration it uses."""
    rrule: Annotated[str | None, Wire("rrule", In.ALL)] = None
    """The rule, of the master of a series."""
    master_event_id: Annotated[str | None, Wire("masterEventId", In.SHOWN)] = None
    """The master, of an instance."""
    deleted: bool = False
    """Whether it was deleted."""
    is_block: bool = False
    """A block slot, not an appointment: it blocks the time of its assignee, or of its calendar if it has none."""

    @property
    def is_busy(self) -> bool:
        """Whether it takes its slot."""
        return not self.deleted and self.rrule is None and self.appointment_status not in _FREES_ITS_SLOT

    @property
    def owner_id(self) -> str:
        """Whose time it takes: its assignee's, or that of the whole calendar."""
        return self.assigned_user_id or self.calendar_id


def _list_wires() -> dict[str, Wire]:
    hints = get_type_hints(BookedAppointment, include_extras=True)
    metadata = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {name: extra[0] for name, extra in metadata.items() if extra}


WIRES: Final = _list_wires()
"""The fields that are sent or received, by their names in `BookedAppointment`."""


def find_fields(body: In) -> dict[str, str]:
    """The fields of a body: from their names on the wire to those in `BookedAppointment`."""
    return {wire.name: name for name, wire in WIRES.items() if wire.bodies & body}


class User(Struct, frozen=True):
    """A member of the staff."""

    id: str
    zone: str
    """IANA name of the time zone in which responses render times."""


class Group(Struct, frozen=True):
    """A group of calendars."""

    id: str
    location_id: str
    name: str


CalendarKind: TypeAlias = Literal[
    "round_robin", "event", "class_booking", "collective", "service_booking", "personal"
]
"""The vendor's `calendarType` [doc]."""


class Calendar(Struct, frozen=True, omit_defaults=True):
    """A calendar and when it can be booked."""

    id: str
    """The id of the calendar."""
    name: str
    """Its name."""
    zone: str
    """IANA name of the zone of its opening hours."""
    team: tuple[str, ...]
    """Ids of its users."""
    slot_minutes: int
    """The length of a slot."""
    opens: int
    """Hour at which it opens."""
    closes: int
    """Hour at which it closes."""
    location_id: str = ""
    """The location that owns it."""
    is_active: bool = True
    """`False` for a draft, which offers no slots."""
    kind: CalendarKind = "round_robin"
    """Whose time an appointment takes: its assignee's; that of the whole team (`collective`), or nobody's but the
    calendar's (`event`)."""
    seats: int = 1
    """Appointments that may have the same slot: of each user, or of a class."""
    notice_hours: int = 0
    """How long before it begins a slot can be booked, at the latest."""

    def list_owners(self, event: BookedAppointment) -> tuple[str, ...]:
        """Whose time an appointment of this calendar takes."""
        if self.kind == "collective" and not event.is_block:
            return tuple(dict.fromkeys((*self.team, event.owner_id)))
        return (event.owner_id,)


class Stamps(Struct, frozen=True):
    """When an event was added, and when it was last changed; in UTC, to the millisecond."""

    added: datetime
    updated: datetime


class BookedNote(Struct, frozen=True):
    """A note on an appointment."""

    id: str
    body: str
    user_id: str | None
    contact_id: str
    date_added: datetime | None = None
    """In UTC; `None` for a note of the seed."""


class Contact(Struct, frozen=True):
    """A person that appointments are with."""

    id: str
    """The id of the contact."""
    location_id: str
    """The location it belongs to."""
    first_name: str
    """First name."""
    last_name: str
    """Last name."""
    email: str
    """Email address."""
    phone: str
    """With its country code."""
    timezone: str
    """IANA name."""


class Location(Struct, frozen=True):
    """A location (Sub-Account), and what was seeded for it."""

    id: str
    appointment_ids: tuple[str, ...]
    """The single appointments, in the order in which they were made."""
    series_ids: tuple[str, ...]
    """The masters of the series."""
    name: str = ""
    address: str = ""
    zone: str = ""
    """IANA name of its time zone."""
