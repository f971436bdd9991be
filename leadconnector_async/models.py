"""Payloads: what is sent to the API and what it returns, as msgspec Structs.

Fields are snake_case here and camelCase on the wire. Values that are sent are closed (`Literal`); values that are
read are open (`str`), because the server uses more words than its reference lists. The Structs tolerate every
response shape seen so far: a field that is missing or cannot be read is `None`.

Structs that responses are read into have `gc=False`: they cannot be part of a cycle, and a large list is read in
half the time.

Sources: Update Appointment and Get Appointment of HighLevel's API reference [doc]; shapes observed on real accounts
by September 2026 [field].
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType, field

from ._calendar import Calendar, LocationConfiguration, OpenHours, OpenInterval, TeamMember
from ._model import Model

__all__ = [
    "Appointment",
    "AppointmentCreate",
    "AppointmentFields",
    "AppointmentStatus",
    "AppointmentUpdate",
    "AwareDatetime",
    "BlockSlot",
    "BlockSlotCreate",
    "BlockSlotFields",
    "BlockSlotUpdate",
    "Calendar",
    "Contact",
    "ContactAppointment",
    "CreatedBy",
    "InstalledLocation",
    "LocationConfiguration",
    "MeetingLocationType",
    "Note",
    "NoteAuthor",
    "OpenHours",
    "OpenInterval",
    "StatusDetails",
    "TeamMember",
]

AppointmentStatus: TypeAlias = Literal[
    "new", "confirmed", "cancelled", "showed", "noshow", "invalid", "completed", "active"
]
"""The statuses that can be set: six of version 2021-04-15 [doc]; `completed`, which is stored as `showed` [field];
`active`, only with `version="v3"` [doc]."""

MeetingLocationType: TypeAlias = Literal[
    "custom", "zoom", "gmeet", "phone", "address", "ms_teams", "google", "default"
]
"""The kinds of meeting location that can be set: seven of the reference [doc], and `default`, which responses
contain and clients send in production [field]."""


AwareDatetime: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""A datetime with an offset."""


class AppointmentFields(Model, frozen=True, kw_only=True, rename="camel"):
    """The fields that `AppointmentUpdate` and `AppointmentCreate` share. A field that is left out is not sent."""

    title: str | None | UnsetType = UNSET
    """Shown in calendars and notifications."""
    meeting_location_type: MeetingLocationType | None | UnsetType = UNSET
    """The server assumes `custom` when `address` is sent. Set without `address`, it loses the calendar's own
    location [field]."""
    meeting_location_id: str | None | UnsetType = UNSET
    """An id from the location configurations of the calendar or the team member. Server default: `default`."""
    override_location_config: bool | None | UnsetType = UNSET
    """By default derived: `False` if only `meeting_location_id` is set, `True` if only `meeting_location_type`."""
    appointment_status: AppointmentStatus | None | UnsetType = UNSET
    """Send it with every change of an appointment marked `showed` or `noshow`: an update without it can reset the
    status to `confirmed` [field]."""
    assigned_user_id: str | None | UnsetType = UNSET
    """A member of the calendar's team; required on team calendars when the slot check is off [field]."""
    description: str | None | UnsetType = UNSET
    """A text for the team."""
    address: str | None | UnsetType = UNSET
    """The meeting location: a place, a link or a phone number."""
    ignore_date_range: bool | None | UnsetType = UNSET
    """`True` skips the check of minimum notice and date range."""
    to_notify: bool | None | UnsetType = UNSET
    """`False` keeps the location's automations from running."""
    ignore_free_slot_validation: bool | None | UnsetType = UNSET
    """`True` skips the whole slot check, including the date range."""
    rrule: str | None | UnsetType = UNSET
    """`RRULE:…` as in RFC 5545, without DTSTART, optionally followed by a newline and `EXDATE:…`. The server
    applies it only together with `ignore_free_slot_validation=True`."""


class AppointmentUpdate(AppointmentFields, frozen=True, kw_only=True, gc=False):
    """The payload of `update_appointment`.

    Every field is optional. A field that is left out is not sent; an explicit `False` or `None` is. Times are aware
    datetimes or ISO 8601 strings with an offset, without fractions of a second. If start and end have different
    offsets, the end is sent as the same instant in the offset of the start. Invalid values raise
    `InvalidRequestError` before anything is sent.

    Source: Update Appointment, version 2021-04-15 [doc].
    """

    calendar_id: str | None | UnsetType = UNSET
    """The calendar to move the appointment to."""
    start_time: datetime | str | None | UnsetType = UNSET
    """When it begins."""
    end_time: datetime | str | None | UnsetType = UNSET
    """When it ends; after `start_time`."""


class AppointmentCreate(AppointmentFields, frozen=True, kw_only=True):
    """The payload of `create_appointment`: the fields of an update, some of them required.

    Times and checks are those of `AppointmentUpdate`. Source: Create Appointment, version 2021-04-15 [doc].
    """

    calendar_id: str
    """The calendar to book."""
    location_id: str | UnsetType = UNSET
    """The Sub-Account that owns the calendar; defaults to the client's own."""
    contact_id: str
    """The contact that the appointment is with."""
    start_time: datetime | str
    """When it begins."""
    end_time: datetime | str | None | UnsetType = UNSET
    """When it ends; defaults to the calendar's own duration."""


class BlockSlotFields(Model, frozen=True, kw_only=True, rename="camel"):
    """The fields that `BlockSlotUpdate` and `BlockSlotCreate` share. A field that is left out is not sent."""

    title: str | None | UnsetType = UNSET
    """Shown in the calendar."""
    calendar_id: str | None | UnsetType = UNSET
    """The calendar that is blocked."""
    assigned_user_id: str | None | UnsetType = UNSET
    """The user who is blocked."""
    location_id: str | UnsetType = UNSET
    """The Sub-Account; defaults to the client's own."""


class BlockSlotUpdate(BlockSlotFields, frozen=True, kw_only=True):
    """The payload of `update_block_slot`. `calendar_id` is always required.

    Source: Update Block Slot [doc].
    """

    start_time: datetime | str | None | UnsetType = UNSET
    """When it begins."""
    end_time: datetime | str | None | UnsetType = UNSET
    """When it ends; after `start_time`."""


class BlockSlotCreate(BlockSlotFields, frozen=True, kw_only=True):
    """The payload of `create_block_slot`. Set either `calendar_id` or `assigned_user_id`, not both.

    Source: Create Block Slot [doc].
    """

    start_time: datetime | str
    """When it begins."""
    end_time: datetime | str
    """When it ends."""


class CreatedBy(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """Who or what created an appointment."""

    user_id: str | None = None
    """The user, if a user created it."""
    source: str | None = None
    """What created it, such as `booking_widget`."""


class StatusDetails(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """The server's own words about a status [field]."""

    status: str | None = None
    """The status."""
    state: str | None = None
    """What became of a change of the status."""
    old_status: str | None = None
    """The status before that."""
    translatable: bool | None = None
    """Whether the texts can be translated."""


class Appointment(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """An appointment as the server shows it, in any response.

    Every field can be missing and is then `None`: no response contains them all. Statuses are open strings. Times
    are aware datetimes in an offset that the server chose (often the assignee's): compare instants, not text.

    Sources: responses to update, create, get and list [doc]; `created_by`, `deleted`, `status_details` [field].
    """

    id: str | None = None
    """The event id; never missing after `update_appointment` and `get_appointment`."""
    title: str | None = None
    """Shown in calendars and notifications."""
    calendar_id: str | None = None
    """The calendar it is booked in."""
    location_id: str | None = None
    """The Sub-Account that owns the calendar."""
    contact_id: str | None = None
    """The contact that the appointment is with."""
    group_id: str | None = None
    """The group of its calendar."""
    appointment_status: str | None = None
    """One of `AppointmentStatus`, or a word that is not known yet."""
    assigned_user_id: str | None = None
    """The team member it is assigned to."""
    users: tuple[str, ...] | None = None
    """All team members who take part, by id."""
    address: str | None = None
    """The meeting location: a place, a link or a phone number."""
    notes: str | None = None
    """The text of its notes; `list_notes` has them one by one."""
    description: str | None = None
    """A text for the team."""
    meeting_location_type: str | None = None
    """One of `MeetingLocationType`, or a word that is not known yet."""
    meeting_location_id: str | None = None
    """The id of the location configuration it uses."""
    is_recurring: bool | None = None
    """Whether it belongs to a series."""
    rrule: str | None = None
    """Of the event with the rule: `RRULE:…` as in RFC 5545."""
    master_event_id: str | None = None
    """Of an instance: the id of the event with the rule."""
    start_time: AwareDatetime | None = None
    """When it begins."""
    end_time: AwareDatetime | None = None
    """When it ends."""
    date_added: AwareDatetime | None = None
    """When it was created."""
    date_updated: AwareDatetime | None = None
    """When it was last changed."""
    assigned_resources: tuple[str, ...] | None = None
    """The rooms and equipment that it uses, by id."""
    created_by: CreatedBy | None = None
    """Who or what created it."""
    source: str | None = None
    """What created it, such as `booking_widget`."""
    status: str | None = None
    """A second status in responses to a create, such as `booked`."""
    status_details: StatusDetails | None = None
    """The server's own words about its status."""
    deleted: bool | None = None
    """`True` if the event was deleted but is still readable [field]."""


class BlockSlot(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A period of time that cannot be booked. Any field can be missing. Source: Create Block Slot [doc]."""

    id: str | None = None
    """The event id."""
    location_id: str | None = None
    """The Sub-Account."""
    title: str | None = None
    """Shown in the calendar."""
    calendar_id: str | None = None
    """The calendar that is blocked."""
    assigned_user_id: str | None = None
    """The user who is blocked."""
    start_time: AwareDatetime | None = None
    """When it begins."""
    end_time: AwareDatetime | None = None
    """When it ends."""


class NoteAuthor(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """Who wrote a note."""

    id: str | None = None
    """The id of the user."""
    name: str | None = None
    """First and last name."""


class Note(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A note on an appointment. Any field can be missing. Source: Appointment Notes [doc]."""

    id: str | None = None
    """The id of the note."""
    body: str | None = None
    """The text."""
    user_id: str | None = None
    """Who wrote it."""
    contact_id: str | None = None
    """The contact of the appointment."""
    created_by: NoteAuthor | None = None
    """Who wrote it, by name."""
    date_added: AwareDatetime | None = None
    """When it was written."""


class Contact(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A contact: the person that appointments are with. Any field but `id` can be missing.

    Personal data, so its repr shows the id only. Source: Get Contact [doc].
    """

    id: str | None = None
    """Never missing."""
    location_id: str | None = None
    """The Sub-Account that the contact belongs to."""
    name: str | None = None
    """First and last name."""
    first_name: str | None = None
    """First name."""
    last_name: str | None = None
    """Last name."""
    email: str | None = None
    """Email address."""
    phone: str | None = None
    """With its country code."""
    timezone: str | None = None
    """IANA name of the time zone."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, …)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("id", self.id)]


class ContactAppointment(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """An appointment as the list of a contact shows it. Any field can be missing.

    Its times have no offset, and their zone is unknown [guess: the location's or the calendar's].
    They are text here, which cannot be compared with a datetime. Wherever the instant matters, read the event by
    its `id`, or use `find_appointments`. Source: Get Appointments for Contact [doc].
    """

    id: str | None = None
    """The event id."""
    calendar_id: str | None = None
    """The calendar it is booked in."""
    location_id: str | None = None
    """The Sub-Account that owns the calendar."""
    contact_id: str | None = None
    """The contact that the appointment is with."""
    group_id: str | None = None
    """The group of its calendar."""
    title: str | None = None
    """Shown in calendars and notifications."""
    status: str | None = None
    """A second status, such as `booked`."""
    appointment_status: str | None = None
    """One of `AppointmentStatus`, or another word, such as `booked`."""
    assigned_user_id: str | None = None
    """The team member it is assigned to."""
    users: tuple[str, ...] | None = None
    """All team members who take part, by id."""
    notes: str | None = None
    """The text of its notes."""
    address: str | None = None
    """The meeting location: a place, a link or a phone number."""
    start_time: str | None = None
    """As the server writes it, such as `2021-07-16 11:00:00`; in an unknown zone."""
    end_time: str | None = None
    """As `start_time`."""
    date_added: str | None = None
    """As `start_time`."""
    date_updated: str | None = None
    """As `start_time`."""
    assigned_resources: tuple[str, ...] | None = None
    """The rooms and equipment that it uses, by id."""


class InstalledLocation(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A location in which an app is installed. Source: Get Location where app is installed [doc]."""

    id: str | None = field(name="_id", default=None)
    """Never missing."""
    name: str | None = None
    """The name of the location."""
    address: str | None = None
    """Its postal address."""
    is_installed: bool | None = None
    """Whether the app is installed there."""
