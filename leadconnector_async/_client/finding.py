"""The operations that find something, by several requests if need be: free slots, contacts, their appointments.

Requests of one call run side by side, a few at a time and each within the rate limit. If one fails, the others are
cancelled, and the error says which calendar it was about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Final, TypeVar, overload

from .. import _api
from .._api.operations import Operation
from .._api.request import Request
from .._calendar import FreeSlots, SlotOffer, UserIdsForm
from .._validation.arguments import check_location, check_long_range
from ..exceptions import (
    BadRequestError,
    ContactNotFoundError,
    DecodeError,
    InvalidEventError,
    LeadConnectorError,
    NotFoundError,
    UnprocessableError,
)
from ..models import Appointment, Contact, ContactAppointment
from ..response import Response
from .methods import CalendarMethods

T = TypeVar("T")

_AT_ONCE: Final = 8
"""Requests of one call that are on their way, or wait for the rate limit, at the same time."""
_LISTS: Final = ("events", "calendars")
"""How the name of an entry that could not be read begins, unlike that of one of its fields."""


class FindingMethods(CalendarMethods):
    """The operations of `CalendarMethods`, and those that find something. Each raises what these raise."""

    @overload
    async def get_free_slots(
        self,
        calendar_id: str,
        start: datetime,
        end: datetime,
        *,
        timezone: str | None = None,
        user_ids: Sequence[str] = (),
        user_ids_form: UserIdsForm = "repeated",
        enable_look_busy: bool | None = None,
    ) -> FreeSlots: ...

    @overload
    async def get_free_slots(
        self,
        calendar_id: list[str] | tuple[str, ...],
        start: datetime,
        end: datetime,
        *,
        timezone: str | None = None,
        user_ids: Sequence[str] = (),
        enable_look_busy: bool | None = None,
        slot_length: timedelta | None = None,
    ) -> list[SlotOffer]: ...

    async def get_free_slots(
        self,
        calendar_id: str | list[str] | tuple[str, ...],
        start: datetime,
        end: datetime,
        *,
        timezone: str | None = None,
        user_ids: Sequence[str] = (),
        user_ids_form: UserIdsForm = "repeated",
        enable_look_busy: bool | None = None,
        slot_length: timedelta | None = None,
    ) -> FreeSlots | list[SlotOffer]:
        """List free slots between two aware times, `start` and `end` [doc: Get Free Slots].

        For one `calendar_id`, returns a dict of days. A slot keeps the offset in which it was offered, so it can be
        passed on as `start_time`. `timezone` is the IANA name of the zone for days and offsets; the default is the
        calendar's own. `user_ids` restricts the result to those users. Several ids repeat the key `userIds`, as the
        API reference says; if that has no effect on your account, `user_ids_form` sends `userIds[]=` (`"brackets"`)
        or a comma-separated list (`"commas"`), as other clients do [field]. `enable_look_busy=True` hides slots as
        the calendar's "look busy" setting does. A range of more than 31 days is split into several requests.

        For a list of calendars, even of one, returns a list of `SlotOffer` in order of time: each instant once,
        with the calendars that offer it. With `user_ids`, each offer also names the users who are free, which takes
        a request for every pair of a calendar and a user. `slot_length` leaves out slots that begin before the
        previous one is over; otherwise every start is offered.

        Raises `DecodeError` if a day cannot be read. With a list of calendars, an error names the calendar.
        """
        _api.slot_offers.check_slot_length(slot_length, merged=isinstance(calendar_id, list | tuple))
        build = partial(
            _api.free_slots.build_get_free_slots,
            start=start,
            end=end,
            timezone=timezone,
            user_ids_form=user_ids_form,
            enable_look_busy=enable_look_busy,
        )
        if not isinstance(calendar_id, list | tuple):
            return await self._read_free_slots(list(build(calendar_id, user_ids=user_ids)))
        sources = _api.slot_offers.list_sources(calendar_id, user_ids)
        parts = [list(build(one.calendar_id, user_ids=[one.user_id] if one.user_id else [])) for one in sources]
        calls = [partial(self._read_free_slots, one) for one in parts]
        found = await _run_bounded(list(map(str, sources)), calls)
        return _api.slot_offers.merge_free_slots(zip(sources, found, strict=True), slot_length)

    async def get_contact(self, contact_id: str) -> Contact:
        """Read the contact `contact_id`: name, phone number, email address, time zone [doc: Get Contact].

        This is personal data: read it only if you need it. Needs the scope `contacts.readonly`. `Version`
        2021-07-28 is sent, whatever the client's own is; likewise for the other operations on contacts.
        """
        return (await self._call_in_version(_api.contacts.build_get_contact(contact_id))).value

    async def find_contacts(
        self, *, phone: str | None = None, email: str | None = None, location_id: str | None = None
    ) -> list[Contact]:
        """Find the contact with a phone number or an email address [doc: Get Duplicate Contact].

        Pass exactly one of `phone`, with its country code, and `email`; otherwise raises `InvalidRequestError`.
        Returns an empty list if nobody has it. The server returns one contact at most, even if the location allows
        duplicates [doc]; if a response ever shows several, all of them are returned. `location_id` defaults to the
        client's own. What is searched for appears in no error, log record or event.
        """
        sought = _api.contacts.conceal_sought(phone, email)
        del phone, email  # an error shows the parameters of each function that it went through
        if len(sought) != 1:
            raise _api.contacts.refuse_selectors("phone", sought, "phone and email")
        return await self._find_contacts(sought, self._choose_location(location_id))

    async def list_contact_appointments(self, contact_id: str) -> list[ContactAppointment]:
        """List the appointments of the contact `contact_id`, whenever they are [doc: Get Appointments for Contact].

        Their times have no offset and are in an unknown zone: see `ContactAppointment`. Where the instant matters,
        use `find_appointments`, or read the event itself with `get_appointment`.
        """
        return (await self._call_in_version(_api.contacts.build_list_contact_appointments(contact_id))).value

    async def list_location_events(
        self, start: datetime, end: datetime, *, location_id: str | None = None
    ) -> list[Appointment]:
        """List the events of all calendars of a location between two aware times, by start; each event once.

        `start` and `end` are those of `list_events`. One request lists the calendars, drafts included, and one the
        events of each, as `list_events` does, several at a time within the rate limit; a range of more than 31 days
        takes several requests each. Events that belong to no calendar are not included; list those by `user_id`.
        `location_id` defaults to the client's own.

        If one calendar cannot be listed, the error names it, and nothing is returned: the result would look
        complete. Raises `DecodeError` also for a calendar or an event that cannot be read.
        """
        location = self._choose_location(location_id)
        check_long_range(start, end)
        calendars = await self._call_whole(_api.calendars.build_list_calendars(location))
        if not all(calendar.id for calendar in calendars):
            text = "A calendar of the location has no id, so its events cannot be listed."
            raise DecodeError(text, operation=_api.calendars.LIST_CALENDARS.name, outcome="not_applied")
        ids = [calendar.id or "" for calendar in calendars]
        calls = [partial(self._list_calendar, location, one, start, end) for one in ids]
        return _api.events.merge_events(await _run_bounded([f"calendar {one}" for one in ids], calls))

    async def find_appointments(
        self,
        start: datetime,
        end: datetime,
        *,
        contact_id: str | None = None,
        phone: str | None = None,
        email: str | None = None,
        location_id: str | None = None,
    ) -> list[Appointment]:
        """Find the appointments of a contact between two aware times, by start, whatever their status.

        `start` and `end` are those of `list_events`. Pass exactly one of `contact_id`, `phone` (with its country
        code) and `email`. The list of the contact's appointments says which calendars they are in. These are listed
        between the two times, because their lists have real instants, and show the instances of recurring
        appointments. That takes one request for each of these calendars and one or two more, however many
        appointments there are. Only appointments whose calendar cannot be listed, because it was deleted for
        example, are read one by one. `location_id` defaults to the client's own.

        Raises `InvalidRequestError` before anything is sent, and `ContactNotFoundError` if no contact has the phone
        number or the email address. If several have it, the appointments of all are returned; see their
        `contact_id`. Another error names the calendar, and then nothing is returned.
        """
        sought = _api.contacts.conceal_sought(phone, email)
        del phone, email  # as above
        if len(sought) + (contact_id is not None) != 1:
            given = [*sought, *["contact_id"] * (contact_id is not None)]
            raise _api.contacts.refuse_selectors("contact_id", given, "contact_id, phone and email")
        location = check_location(self._choose_location(location_id))
        check_long_range(start, end)
        contacts = [contact_id] if contact_id is not None else await self._find_contact_ids(sought, location)
        lists = [await self._call_whole(_api.contacts.build_list_contact_appointments(one)) for one in contacts]
        known = _api.contacts.group_by_calendar(chain.from_iterable(lists))
        names = [f"calendar {one}" if one else "appointments without a calendar" for one in known]
        calls = [partial(self._list_or_read, location, one, start, end, ids) for one, ids in known.items()]
        events = _api.events.merge_events(await _run_bounded(names, calls))
        return [event for event in events if _api.contacts.is_of_contact(event, contacts, known)]

    async def _find_contact_ids(self, sought: _api.contacts.Sought, location_id: str) -> list[str]:
        found = await self._find_contacts(sought, location_id)
        if not found:
            raise ContactNotFoundError(
                _api.contacts.explain_no_match(sought), operation=_api.contacts.FIND_CONTACTS.name
            )
        return [contact.id for contact in found if contact.id]

    async def _find_contacts(self, sought: _api.contacts.Sought, location_id: str | None) -> list[Contact]:
        ((selector, value),) = sought.items()
        return await self._call_whole(_api.contacts.build_find_contacts(location_id, selector, value))

    async def _list_or_read(
        self, location_id: str, calendar_id: str, start: datetime, end: datetime, event_ids: Sequence[str]
    ) -> list[Appointment]:
        """List a calendar; or read these events of it if there is no such calendar to list."""
        if calendar_id:
            try:
                return await self._list_calendar(location_id, calendar_id, start, end)
            except (BadRequestError, NotFoundError, UnprocessableError):
                pass
        events: list[Appointment] = []
        for event_id in event_ids:
            with suppress(InvalidEventError, NotFoundError):  # deleted in the meantime
                events.append(await self.get_appointment(event_id))
        return [event for event in events if not event.deleted and _api.events.is_between(event, start, end)]

    async def _list_calendar(
        self, location_id: str | None, calendar_id: str, start: datetime, end: datetime
    ) -> list[Appointment]:
        """As `list_events`, of a range of any length; raises `DecodeError` if an event cannot be read at all."""
        build = partial(
            _api.events.build_list_events, _api.events.LIST_EVENTS, location_id, user_id=None, group_id=None
        )
        requests = [
            build(first, last, calendar_id=calendar_id) for first, last in _api.events.split_range(start, end)
        ]
        return _api.events.merge_events([await self._call_whole(request) for request in requests])

    async def _call_whole(self, request: Request[list[T]]) -> list[T]:
        """Read a list. Raises `DecodeError` if an entry cannot be read: without it, the list looks complete."""
        response = await self._call_in_version(request)
        lost = [one for name in _LISTS for one in _api.lists.list_lost(name, response.unread)]
        if lost:
            text = f"{', '.join(lost)[:200]} of the response cannot be read."
            raise _build_error(text, request.operation, response)
        return response.value

    async def _call_in_version(self, request: Request[T]) -> Response[T]:
        return await self._pipeline.in_version(request.operation.version).call(request)

    async def _read_free_slots(self, parts: list[Request[FreeSlots]]) -> FreeSlots:
        return _api.free_slots.join_free_slots([_check_free_slots(await self._pipeline.call(one)) for one in parts])


async def _run_bounded(names: Sequence[str], calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Make the calls, a few at a time; returns their results in order. The error of one says what it was about.

    The first failure cancels the other calls: all of them only read.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def run(name: str, call: Callable[[], Awaitable[T]]) -> T:
        async with slots:
            try:
                return await call()
            except LeadConnectorError as error:
                error.args = (f"{error.args[0]} ({name})",)
                raise

    tasks = [asyncio.ensure_future(run(name, call)) for name, call in zip(names, calls, strict=True)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tasks.clear()  # or an error and its traceback would hold each other


def _check_free_slots(response: Response[FreeSlots]) -> FreeSlots:
    """Return the days. Raises `DecodeError` if one cannot be read: it would look like a fully booked day."""
    days = [name for name in response.unread if "[" not in name]
    if days:
        raise _build_error(
            f"The free slots of {', '.join(days)[:200]} cannot be read.", _api.free_slots.GET_FREE_SLOTS, response
        )
    return response.value


def _build_error(text: str, operation: Operation, response: Response[T]) -> DecodeError:
    return DecodeError(
        text,
        operation=operation.name,
        status=response.status,
        attempts=response.attempts,
        outcome="not_applied",
    )
