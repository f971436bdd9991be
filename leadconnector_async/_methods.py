"""What a client can do: one short method for each operation of the vendor's calendar API.

A method builds its request and hands it to the pipeline; nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar, Unpack

from msgspec import structs

from ._api.appointments import build_create_appointment, build_get_appointment, build_update_appointment
from ._api.block_slots import build_create_block_slot, build_update_block_slot
from ._api.calendars import build_get_calendar, build_list_calendars
from ._api.events import LIST_BLOCKED_SLOTS, LIST_EVENTS, build_delete_event, build_list_events
from ._api.free_slots import GET_FREE_SLOTS, FreeSlots, UserIdsForm, build_get_free_slots, join_free_slots
from ._api.notes import build_create_note, build_delete_note, build_list_notes, build_update_note
from ._api.precondition import ReadingClock, UpdateGuard
from ._api.readback import name_other_location
from ._api.request import Request
from ._call.pipeline import Pipeline
from ._validation.arguments import check_flag
from .exceptions import DecodeError
from .models import (
    Appointment,
    AppointmentCreate,
    AppointmentUpdate,
    BlockSlot,
    BlockSlotCreate,
    BlockSlotUpdate,
    Calendar,
    Note,
)
from .reschedule.apply import Update, carry_out, list_expected, prepare, retry_stale
from .reschedule.plan import Change, Changes, Scope
from .response import Response

_LOGGER: Final = logging.getLogger("leadconnector_async")
T = TypeVar("T")


class CalendarMethods:
    """The operations. Each raises what `update_appointment` raises."""

    _pipeline: Pipeline
    _location_id: str | None
    _version: str

    async def update_appointment(self, event_id: str, update: AppointmentUpdate) -> Appointment:
        """Change an appointment, or one instance of a recurring one [doc: Update Appointment].

        `event_id` is an event id, an instance id, or the master's id for a whole series. Only the fields that
        are set are sent. Send `appointment_status` with every change of an appointment marked `showed` or
        `noshow`: an update without it can put the status back to `confirmed` [field];
        `reschedule_appointment` sees to that.

        Raises `InvalidRequestError` before anything is sent, `SlotUnavailableError`, `InvalidEventError` and
        other `ApiError`s for refusals, `OutcomeUnknownError` when nobody knows whether it was applied.
        """
        shown = (await self._pipeline.call(build_update_appointment(event_id, update, self._version))).value
        location_id = self._location_id
        return shown if location_id is None or location_id == shown.location_id else self._mark(shown)

    async def _update_guarded(
        self, precondition: UpdateGuard, event_id: str, update: AppointmentUpdate
    ) -> Appointment:
        request = build_update_appointment(event_id, update, self._version)
        return (await self._pipeline.call(structs.replace(request, precondition=precondition))).value

    async def reschedule_appointment(
        self,
        event_id: str,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        shift: timedelta | None = None,
        scope: Scope = "instance",
        verify: bool = False,
        **changes: Unpack[Changes],
    ) -> Appointment:
        """Change an appointment, and nothing else of it: it is read first, and kept as it is.

        Give `start_time` (a start alone keeps the length), `end_time`, or `shift`, which counts elapsed time:
        across a change of the clocks give `start_time`. `changes` are other fields of `AppointmentUpdate`. Status,
        assignee and calendar are sent along as they are; the slot is checked if the appointment moves; a new
        assignee beside a new time is set first and silently, and put back if the time is refused.

        For a recurring appointment, `scope="instance"` takes the id of an instance, and `scope="series"` that of
        the master or of an instance, by whose move the whole series moves. An instance can have a new id
        afterwards [guess]: take it from the answer. `verify=True` reads the event again and compares.

        The write relies on a reading that is at most a minute old when it is sent: one whose turn comes later reads
        again. After a lost answer it is not sent again over somebody else's change.

        Raises what `update_appointment` raises, `VerificationError`, and `PreconditionFailedError` where somebody
        else has changed the appointment meanwhile.
        """
        check_flag("verify", verify)

        async def attempt() -> Appointment:
            guard = begin_reading(self)
            change = await self.plan_reschedule(
                event_id, start_time=start_time, end_time=end_time, shift=shift, scope=scope, **changes
            )
            return await carry_out(self, change, verify=verify, send=guard(change))

        return await retry_stale(attempt)

    async def plan_reschedule(
        self,
        event_id: str,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        shift: timedelta | None = None,
        scope: Scope = "instance",
        **changes: Unpack[Changes],
    ) -> Change:
        """Say what `reschedule_appointment` would do, without doing it: it reads and sends nothing else."""
        return await prepare(
            self,
            event_id,
            start_time=start_time,
            end_time=end_time,
            shift=shift,
            scope=scope,
            version=self._version,
            location_id=self._location_id,
            changes=changes,
        )

    def _mark(self, shown: Appointment) -> Appointment:
        """Say in the log that the token is for another location than the one that the client names."""
        if self._location_id is not None and (other := name_other_location(shown, self._location_id)):
            _LOGGER.warning("event %s: %s; check the token and the client's location_id", shown.id, other)
        return shown

    async def get_appointment(self, event_id: str) -> Appointment:
        """Read an appointment [doc: Get Appointment]. A deleted one can still be readable: see `deleted`."""
        return self._mark(await self._call(build_get_appointment(event_id)))

    async def create_appointment(self, appointment: AppointmentCreate) -> Appointment:
        """Book an appointment [doc: Create Appointment].

        It is sent once: after a lost answer or a 5xx `OutcomeUnknownError` is raised, because a second request
        could book twice. List the events of that time before you try again. A `location_id` that is left out is
        the client's own.
        """
        return await self._call(build_create_appointment(appointment, self._version, self._location_id))

    async def delete_event(self, event_id: str) -> bool:
        """Delete an appointment or a block slot [doc: Delete Event]; `True` if the server says that it succeeded.

        A deleted appointment can still be readable for a while [field]. What is deleted already raises
        `InvalidEventError`.
        """
        return await self._call(build_delete_event(event_id))

    async def list_events(
        self,
        start: datetime,
        end: datetime,
        *,
        calendar_id: str | None = None,
        user_id: str | None = None,
        group_id: str | None = None,
        location_id: str | None = None,
    ) -> list[Appointment]:
        """The events between two aware times, instances of series included [doc: Get Calendar Events].

        Give exactly one of `calendar_id`, `user_id` and `group_id`. `location_id` is the client's own if left out.
        """
        return await self._call(
            build_list_events(
                LIST_EVENTS,
                self._choose_location(location_id),
                start,
                end,
                user_id=user_id,
                calendar_id=calendar_id,
                group_id=group_id,
            )
        )

    async def list_blocked_slots(
        self,
        start: datetime,
        end: datetime,
        *,
        calendar_id: str | None = None,
        user_id: str | None = None,
        group_id: str | None = None,
        location_id: str | None = None,
    ) -> list[Appointment]:
        """The blocked slots between two aware times, as events [doc: Get Blocked Slots]. As `list_events`."""
        return await self._call(
            build_list_events(
                LIST_BLOCKED_SLOTS,
                self._choose_location(location_id),
                start,
                end,
                user_id=user_id,
                calendar_id=calendar_id,
                group_id=group_id,
            )
        )

    async def create_block_slot(self, block_slot: BlockSlotCreate) -> BlockSlot:
        """Block a stretch of time of a calendar or of a person [doc: Create Block Slot].

        Sent once, as `create_appointment` is. A `location_id` that is left out is the client's own.
        """
        return await self._call(build_create_block_slot(block_slot, self._location_id))

    async def update_block_slot(self, event_id: str, block_slot: BlockSlotUpdate) -> BlockSlot:
        """Change a block slot [doc: Update Block Slot]; the server requires its `calendar_id` with every change.

        Sent again after a lost answer: nobody is told of it. A `location_id` that is left out is the client's own.
        """
        return await self._call(build_update_block_slot(event_id, block_slot, self._location_id))

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
    ) -> FreeSlots:
        """The free slots of a calendar between two aware times, by day [doc: Get Free Slots].

        A slot keeps the offset of its offer: pass it on as `start_time`. `timezone` is the IANA name of the zone
        in which days and offsets are rendered, the calendar's own if left out. `user_ids` keeps to those people.
        Several of them repeat the key `userIds`, as the reference says; should that not filter on your account,
        `user_ids_form` sends `userIds[]=` (`"brackets"`) or one text (`"commas"`), as other clients do [field].
        `enable_look_busy=True` hides slots as the calendar's own "look busy" setting does. A range of more than 31
        days takes several requests, one after the other, which are joined.
        """
        requests = build_get_free_slots(
            calendar_id,
            start,
            end,
            timezone=timezone,
            user_ids=user_ids,
            user_ids_form=user_ids_form,
            enable_look_busy=enable_look_busy,
        )
        return join_free_slots([_check_free_slots(await self._pipeline.call(one)) for one in list(requests)])

    async def list_notes(self, event_id: str) -> AsyncIterator[Note]:
        """The notes on an appointment, page by page as they are asked for [doc: Get Notes].

        async for note in client.list_notes(event_id): ...
        """
        offset = 0
        while True:
            page = await self._call(build_list_notes(event_id, offset))
            for note in page.notes:
                yield note
            if not (page.has_more and page.count):
                return
            offset += page.count

    async def create_note(self, event_id: str, body: str, *, user_id: str | None = None) -> Note:
        """Write a note of at most 5,000 characters on an appointment [doc: Create Note].

        Sent once, as `create_appointment` is.
        """
        return await self._call(build_create_note(event_id, body, user_id))

    async def update_note(self, event_id: str, note_id: str, body: str, *, user_id: str | None = None) -> Note:
        """Change a note [doc: Update Note]. After a lost answer it is sent again: nobody is told of it."""
        return await self._call(build_update_note(event_id, note_id, body, user_id))

    async def delete_note(self, event_id: str, note_id: str) -> bool:
        """Delete a note [doc: Delete Note]; `True` if the server says that it succeeded."""
        return await self._call(build_delete_note(event_id, note_id))

    async def get_calendar(self, calendar_id: str) -> Calendar:
        """Read a calendar: its team and its meeting places [doc: Get Calendar]. Scope `calendars.readonly`."""
        return await self._call(build_get_calendar(calendar_id))

    async def list_calendars(
        self, *, group_id: str | None = None, show_drafted: bool | None = None, location_id: str | None = None
    ) -> list[Calendar]:
        """The calendars of a location, the client's own if left out, or of one of its groups [doc: Get Calendars].

        `show_drafted=False` leaves out those that are not active; the server shows them by default.
        """
        location = self._choose_location(location_id)
        return await self._call(build_list_calendars(location, group_id=group_id, show_drafted=show_drafted))

    def _choose_location(self, location_id: str | None) -> str | None:
        return self._location_id if location_id is None else location_id

    async def _call(self, request: Request[T]) -> T:
        return (await self._pipeline.call(request)).value


def guard_updates(client: CalendarMethods, precondition: UpdateGuard) -> Update:
    """`update_appointment` of a client, held against a precondition right before each attempt is sent."""
    return partial(client._update_guarded, precondition)  # pyright: ignore[reportPrivateUsage] # of this module


def begin_reading(client: CalendarMethods) -> Callable[[Change], Update]:
    """To be called right before an appointment is read: what then turns a change into updates that rely on that."""
    clock = ReadingClock(asyncio.get_running_loop())
    read_at = clock.now()

    def guard(change: Change) -> Update:
        expected = partial(list_expected, change.before, change.updates)
        return guard_updates(client, UpdateGuard(expected, read_at, clock))

    return guard


def _check_free_slots(answer: Response[FreeSlots]) -> FreeSlots:
    """The days of an answer. Raises `DecodeError` where one cannot be read: it would look like a full one."""
    days = [name for name in answer.unread if "[" not in name]
    if days:
        raise DecodeError(
            f"The free slots of {', '.join(days)[:200]} cannot be read.",
            operation=GET_FREE_SLOTS.name,
            status=answer.status,
            attempts=answer.attempts,
            outcome="not_applied",
        )
    return answer.value
