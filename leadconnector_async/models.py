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

from ._model import Model

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
    end_time: datetime | str | None | UnsetType = UNSET


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
    source: str | None = None


class StatusDetails(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """The server's own words about a status [field]."""

    status: str | None = None
    state: str | None = None
    old_status: str | None = None
    translatable: bool | None = None


class Appointment(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """An appointment as the server shows it, in any response.

    Every field can be missing and is then `None`: no response contains them all. Statuses are open strings. Times
    are aware datetimes in an offset that the server chose (often the assignee's): compare instants, not text.

    Sources: responses to update, create, get and list [doc]; `created_by`, `deleted`, `status_details` [field].
    """

    id: str | None = None
    """The event id; never missing after `update_appointment` and `get_appointment`."""
    title: str | None = None
    calendar_id: str | None = None
    location_id: str | None = None
    contact_id: str | None = None
    group_id: str | None = None
    appointment_status: str | None = None
    """One of `AppointmentStatus`, or a word that is not known yet."""
    assigned_user_id: str | None = None
    users: tuple[str, ...] | None = None
    address: str | None = None
    notes: str | None = None
    description: str | None = None
    meeting_location_type: str | None = None
    meeting_location_id: str | None = None
    is_recurring: bool | None = None
    rrule: str | None = None
    master_event_id: str | None = None
    """Of an instance: the id of the event with the rule."""
    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    date_added: AwareDatetime | None = None
    date_updated: AwareDatetime | None = None
    assigned_resources: tuple[str, ...] | None = None
    created_by: CreatedBy | None = None
    source: str | None = None
    status: str | None = None
    """A second status in responses to a create, such as `booked`."""
    status_details: StatusDetails | None = None
    deleted: bool | None = None
    """`True` if the event was deleted but is still readable [field]."""


class BlockSlot(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A period of time that cannot be booked. Any field can be missing. Source: Create Block Slot [doc]."""

    id: str | None = None
    location_id: str | None = None
    title: str | None = None
    calendar_id: str | None = None
    assigned_user_id: str | None = None
    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None


class NoteAuthor(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """Who wrote a note."""

    id: str | None = None
    name: str | None = None


class Note(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A note on an appointment. Any field can be missing. Source: Appointment Notes [doc]."""

    id: str | None = None
    body: str | None = None
    user_id: str | None = None
    """Who wrote it."""
    contact_id: str | None = None
    created_by: NoteAuthor | None = None
    """Who wrote it, by name."""
    date_added: AwareDatetime | None = None


class Contact(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A contact: the person that appointments are with. Any field but `id` can be missing.

    Personal data, so its repr shows the id only. Source: Get Contact [doc].
    """

    id: str | None = None
    """Never missing."""
    location_id: str | None = None
    name: str | None = None
    """First and last name."""
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
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
    calendar_id: str | None = None
    location_id: str | None = None
    contact_id: str | None = None
    group_id: str | None = None
    title: str | None = None
    status: str | None = None
    """A second status, such as `booked`."""
    appointment_status: str | None = None
    """One of `AppointmentStatus`, or another word, such as `booked`."""
    assigned_user_id: str | None = None
    users: tuple[str, ...] | None = None
    notes: str | None = None
    address: str | None = None
    start_time: str | None = None
    """As the server writes it, such as `2021-07-16 11:00:00`; in an unknown zone."""
    end_time: str | None = None
    """As `start_time`."""
    date_added: str | None = None
    """As `start_time`."""
    date_updated: str | None = None
    """As `start_time`."""
    assigned_resources: tuple[str, ...] | None = None


class LocationConfiguration(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A meeting location that a calendar or a team member offers."""

    kind: str | None = None
    """Such as `custom`, `zoom_conference` or `google_conference`."""
    location: str | None = None
    """A text, a link or a phone number."""
    meeting_id: str | None = None
    """The `meeting_location_id` of an update."""


class TeamMember(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A member of a calendar's team."""

    user_id: str | None = None
    priority: float | None = None
    is_primary: bool | None = None
    location_configurations: tuple[LocationConfiguration, ...] | None = None


class OpenInterval(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A period of a day in which a calendar is open, in wall-clock time of its time zone."""

    open_hour: int | None = None
    open_minute: int | None = None
    close_hour: int | None = None
    close_minute: int | None = None


class OpenHours(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """When a calendar is open on some days of the week."""

    days_of_the_week: tuple[int, ...] | None = None
    """From 0 to 6 [doc]; 0 is Sunday [guess]."""
    hours: tuple[OpenInterval, ...] | None = None


class Calendar(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A calendar: its team, its meeting location, and what can be booked. Any field can be missing.

    These are the fields that matter for rescheduling; the server has more. Source: Get Calendar [doc].
    """

    id: str | None = None
    location_id: str | None = None
    group_id: str | None = None
    name: str | None = None
    description: str | None = None
    calendar_type: str | None = None
    """Such as `event`, `round_robin`, `class_booking`, `collective`, `service_booking`, `personal`."""
    is_active: bool | None = None
    """`False` for a draft."""
    slot_duration: float | None = None
    """The length of an appointment."""
    slot_duration_unit: str | None = None
    """`mins` or `hours`; likewise for the interval and the buffers."""
    slot_interval: float | None = None
    """The time between the starts of two offered slots."""
    slot_interval_unit: str | None = None
    slot_buffer: float | None = None
    """Kept free after an appointment."""
    slot_buffer_unit: str | None = None
    pre_buffer: float | None = None
    """Kept free before an appointment."""
    pre_buffer_unit: str | None = None
    allow_booking_after: float | None = None
    """The minimum notice."""
    allow_booking_after_unit: str | None = None
    """`hours`, `days`, `weeks` or `months`."""
    allow_booking_for: float | None = None
    """How far ahead it can be booked."""
    allow_booking_for_unit: str | None = None
    """`days`, `weeks` or `months`."""
    appointment_per_slot: float | None = field(name="appoinmentPerSlot", default=None)
    """The most bookings per slot and user; the seats of a class. The API misspells its key: `appoinmentPerSlot`."""
    appointment_per_day: float | None = field(name="appoinmentPerDay", default=None)
    """The most bookings per day. The API misspells its key: `appoinmentPerDay`."""
    open_hours: tuple[OpenHours, ...] | None = None
    """When it can be booked."""
    auto_confirm: bool | None = None
    """Whether a booking is confirmed at once."""
    allow_reschedule: bool | None = None
    """Whether contacts may move their own appointments."""
    allow_cancellation: bool | None = None
    """Whether contacts may cancel their own appointments."""
    team_members: tuple[TeamMember, ...] | None = None
    location_configurations: tuple[LocationConfiguration, ...] | None = None


class InstalledLocation(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A location in which an app is installed. Source: Get Location where app is installed [doc]."""

    id: str | None = field(name="_id", default=None)
    """Never missing."""
    name: str | None = None
    address: str | None = None
    is_installed: bool | None = None
