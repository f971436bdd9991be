"""A calendar with its parts, public as those of `models`, and its free slots."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, TypeAlias

from msgspec import Struct, field

from ._model import Model


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
    """The id of the user."""
    priority: float | None = None
    """The weight when appointments are distributed to the team."""
    is_primary: bool | None = None
    """Whether this is the main member of a collective calendar."""
    location_configurations: tuple[LocationConfiguration, ...] | None = None
    """The meeting locations that the member offers."""


class OpenInterval(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A period of a day in which a calendar is open, in wall-clock time of its time zone."""

    open_hour: int | None = None
    """The hour when it opens, from 0."""
    open_minute: int | None = None
    """The minute when it opens."""
    close_hour: int | None = None
    """The hour when it closes."""
    close_minute: int | None = None
    """The minute when it closes."""


class OpenHours(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """When a calendar is open on some days of the week."""

    days_of_the_week: tuple[int, ...] | None = None
    """From 0 to 6 [doc]; 0 is Sunday [guess]."""
    hours: tuple[OpenInterval, ...] | None = None
    """When it is open on these days."""


class Calendar(Model, frozen=True, kw_only=True, rename="camel", gc=False):
    """A calendar: its team, its meeting location, and what can be booked. Any field can be missing.

    These are the fields that matter for rescheduling; the server has more. Source: Get Calendar [doc].
    """

    id: str | None = None
    """The id of the calendar."""
    location_id: str | None = None
    """The Sub-Account that owns it."""
    group_id: str | None = None
    """The group it belongs to."""
    name: str | None = None
    """Shown to those who book."""
    description: str | None = None
    """A text for those who book."""
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
    """As `slot_duration_unit`."""
    slot_buffer: float | None = None
    """Kept free after an appointment."""
    slot_buffer_unit: str | None = None
    """As `slot_duration_unit`."""
    pre_buffer: float | None = None
    """Kept free before an appointment."""
    pre_buffer_unit: str | None = None
    """As `slot_duration_unit`."""
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
    """The users who can be assigned."""
    location_configurations: tuple[LocationConfiguration, ...] | None = None
    """The meeting locations that it offers."""


FreeSlots: TypeAlias = dict[date, tuple[datetime, ...]]
"""The free slots of each day, in order."""

UserIdsForm: TypeAlias = Literal["repeated", "brackets", "commas"]
"""How a query lists several users: `userIds=a&userIds=b`, `userIds[]=a&userIds[]=b`, or `userIds=a,b`."""


class SlotOwner(Struct, frozen=True):
    """A calendar that offers a slot, alone or for one of its users."""

    calendar_id: str
    """The calendar."""
    user_id: str | None
    """The user who is free; `None` if the slots were requested without `user_ids`, so that the calendar chooses."""
    start_time: datetime
    """The slot in the offset in which this calendar offered it; book it with exactly this."""


class SlotOffer(Struct, frozen=True):
    """A free slot, and whose it is."""

    start_time: datetime
    """When it begins, in the offset of its first owner."""
    owners: tuple[SlotOwner, ...]
    """Everybody who offers it, in the order in which calendars and users were passed; at least one."""

    @property
    def calendar_ids(self) -> tuple[str, ...]:
        """The calendars that offer it, each once."""
        return tuple(dict.fromkeys(owner.calendar_id for owner in self.owners))

    @property
    def user_ids(self) -> tuple[str, ...]:
        """The users who are free, each once; empty if the slots were requested without `user_ids`."""
        return tuple(dict.fromkeys(owner.user_id for owner in self.owners if owner.user_id is not None))
