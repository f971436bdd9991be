"""The operations of HighLevel's calendar API, one short method each.

A method builds its request with `_api` and passes it to the pipeline; nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, Unpack

from .. import _api
from .._api.appointments import build_get_appointment, build_update_appointment
from .._api.convert import to_payload
from .._api.readback import name_other_location
from .._api.request import Request
from .._validation.arguments import check_flag
from ..access import Access, check_may_write
from ..inputs import Payload
from ..models import (
    Appointment,
    AppointmentCreate,
    AppointmentUpdate,
    BlockSlot,
    BlockSlotCreate,
    BlockSlotUpdate,
    Calendar,
    Note,
)
from ..reschedule.plan import Change, Changes, Scope

if TYPE_CHECKING:
    from .._api.precondition import Granted, UpdateGuard
    from .._call.pipeline import Pipeline
    from ..reschedule.apply import Update
    from .once import KeyedCalls

_LOGGER: Final = logging.getLogger("leadconnector_async")
T = TypeVar("T")


class CalendarMethods:
    """The operations. Each raises what `update_appointment` raises."""

    if TYPE_CHECKING:  # the types of the class can be read at run time, too
        _pipeline: Pipeline
    _location_id: str | None
    _version: str
    _access: Access

    async def update_appointment(self, event_id: str, update: Payload[AppointmentUpdate]) -> Appointment:
        """Change an appointment, or one instance of a recurring one [doc: Update Appointment].

        `event_id` is the id of an event or of an instance; the master's id changes the whole series. Only the
        fields that are set are sent. An update without `appointment_status` can reset `showed` and `noshow` to
        `confirmed` [field], so send the status along, or use `reschedule_appointment`. `update` can also be a
        mapping or a pydantic model: see `Payload`.

        Raises `InvalidRequestError` before anything is sent, `SlotUnavailableError`, `InvalidEventError` or
        another `ApiError` if the server refuses the update, and `OutcomeUnknownError` if it may or may not have
        been applied.
        """
        shown = (await self._pipeline.call(build_update_appointment(event_id, update, self._version))).value
        location_id = self._location_id
        return shown if location_id is None or location_id == shown.location_id else self._check_location(shown)

    async def _update_guarded(
        self, precondition: UpdateGuard, event_id: str, update: AppointmentUpdate
    ) -> Appointment:
        request = build_update_appointment(event_id, update, self._version, precondition)
        return (await self._pipeline.call(request)).value

    async def reschedule_appointment(
        self,
        event_id: str,
        update: Payload[AppointmentUpdate] | None = None,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        shift: timedelta | None = None,
        scope: Scope = "instance",
        verify: bool = False,
        **changes: Unpack[Changes],
    ) -> Appointment:
        """Move or change an appointment and keep everything else: it is read first.

        `event_id` is the id of the event. Pass `start_time` (alone, it keeps the duration), `end_time`, or `shift`,
        which is elapsed time: across a daylight saving change pass `start_time`. `changes` are other fields of
        `AppointmentUpdate`; they and the times can also be passed as an `update` (see `Payload`), in which a time
        that is `None` stays. Status, assignee and calendar are sent along unchanged. The slot is checked if the
        appointment moves. If the assignee changes together with the time, the assignee is set first, without
        notifications, and reset if the time is refused.

        For a recurring appointment, `scope="instance"` takes the id of an instance. `scope="series"` takes the id
        of the master or of an instance and moves the whole series by the same amount. An instance can get a new id
        [guess]: take it from the returned appointment. `verify=True` reads the event afterwards and compares.

        The update is sent only if the appointment was read at most a minute earlier; otherwise it is read again.
        After a lost response, somebody else's change is not overwritten.

        Raises what `update_appointment` raises, `VerificationError`, and `PreconditionFailedError` if somebody else
        has changed the appointment in the meantime.
        """
        from ..reschedule.apply import carry_out, retry_stale  # noqa: PLC0415 - many programs only update

        check_flag("verify", verify)
        check_may_write(self._access, "reschedule_appointment")

        async def attempt(granted: Granted) -> Appointment:
            begin = partial(begin_reading, self, granted)
            guard = begin()
            change = await self.plan_reschedule(
                event_id, update, start_time=start_time, end_time=end_time, shift=shift, scope=scope, **changes
            )
            return await carry_out(self, change, verify=verify, send=guard(change), begin=begin)

        return await retry_stale(attempt)

    async def plan_reschedule(
        self,
        event_id: str,
        update: Payload[AppointmentUpdate] | None = None,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        shift: timedelta | None = None,
        scope: Scope = "instance",
        **changes: Unpack[Changes],
    ) -> Change:
        """Return what `reschedule_appointment` would change. Only reads.

        `event_id`, `update`, `start_time`, `end_time`, `shift`, `scope` and `changes` are those of
        `reschedule_appointment`. Raises what it raises before it sends anything.
        """
        from ..reschedule.apply import prepare  # noqa: PLC0415 - many programs only update
        from ..reschedule.requested import collect_requested  # noqa: PLC0415

        requested = collect_requested(update, start_time, end_time, shift, changes)
        return await prepare(
            self, event_id, requested, scope=scope, version=self._version, location_id=self._location_id
        )

    def _check_location(self, shown: Appointment) -> Appointment:
        """Log a warning if the token belongs to another location than `location_id`."""
        if self._location_id is not None and (other := name_other_location(shown, self._location_id)):
            _LOGGER.warning("event %s: %s; check the token and the client's location_id", shown.id, other)
        return shown

    async def get_appointment(self, event_id: str) -> Appointment:
        """Read an appointment [doc: Get Appointment].

        `event_id` is the id of an event, or of an instance of a series. A deleted one may still be readable: check
        `deleted`. Raises `InvalidEventError` for an unknown id.
        """
        return self._check_location(await self._call(build_get_appointment(event_id)))

    async def create_appointment(
        self, appointment: Payload[AppointmentCreate], *, once: str | None = None
    ) -> Appointment:
        """Book an appointment [doc: Create Appointment].

        After a lost response or a 5xx, the calendar is searched for what this call has booked. If that is nothing,
        and the server can no longer be working on it, it is sent again. If the outcome is still unclear,
        `OutcomeUnknownError` is raised, with `candidates`. Two that look alike are booked one after the other.
        `appointment` can also be a mapping or a pydantic model: see `Payload`. Its `location_id` defaults to the
        client's own.

        `once` is a key that books once, such as the number of an order: the same key within a day returns the same
        appointment, as it is now, and a key that is in use waits for its result. With `shared`, that holds for all
        processes, and for one that was killed and starts again. Raises `KeyReusedError` if the key was used for
        another request, and `StoreUnavailableError` if the store cannot be reached: then nothing was sent.
        """
        payload = to_payload(appointment, AppointmentCreate)
        request = _api.creations.build_create_appointment(payload, self._version, self._location_id)
        return await self._create(request, once, payload.location_id, build_get_appointment)

    async def delete_event(self, event_id: str) -> bool:
        """Delete an appointment or a block slot [doc: Delete Event]; `True` if the server reports success.

        `event_id` is the id of the event. A deleted appointment may still be readable for a while [field]. Raises
        `InvalidEventError` if the event is already deleted.
        """
        return await self._call(_api.events.build_delete_event(event_id))

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
        """List the events between two aware times, including instances of series [doc: Get Calendar Events].

        Lists those that begin at `start` or later, and before `end`. Pass exactly one of `calendar_id`, `user_id`
        and `group_id`. `location_id` defaults to the client's own.
        """
        return await self._call(
            _api.events.build_list_events(
                _api.events.LIST_EVENTS,
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
        """List the blocked slots between two aware times [doc: Get Blocked Slots].

        `start`, `end`, `calendar_id`, `user_id`, `group_id` and `location_id` are those of `list_events`.
        """
        return await self._call(
            _api.events.build_list_events(
                _api.events.LIST_BLOCKED_SLOTS,
                self._choose_location(location_id),
                start,
                end,
                user_id=user_id,
                calendar_id=calendar_id,
                group_id=group_id,
            )
        )

    async def create_block_slot(
        self, block_slot: Payload[BlockSlotCreate], *, once: str | None = None
    ) -> BlockSlot:
        """Block a period of time in a calendar or for a user [doc: Create Block Slot].

        A lost response and `once` are as for `create_appointment`; a block slot that was moved or deleted since
        raises `InvalidEventError`. `block_slot` is what is blocked, and can also be a mapping or a pydantic model:
        see `Payload`. Its `location_id` defaults to the client's own.
        """
        payload = to_payload(block_slot, BlockSlotCreate)
        return await self._create(
            _api.creations.build_create_block_slot(payload, self._location_id), once, payload.location_id
        )

    async def update_block_slot(self, event_id: str, block_slot: Payload[BlockSlotUpdate]) -> BlockSlot:
        """Change a block slot [doc: Update Block Slot]. The server requires its `calendar_id` with every change.

        `event_id` is the id of the block slot, and `block_slot` what changes. It can also be a mapping or a
        pydantic model: see `Payload`. Its `location_id` defaults to the client's own. Retried after a lost
        response, because it triggers no notifications.
        """
        return await self._call(_api.block_slots.build_update_block_slot(event_id, block_slot, self._location_id))

    async def list_notes(self, event_id: str) -> AsyncIterator[Note]:
        """Iterate over the notes of an appointment; pages are requested as needed [doc: Get Notes].

        `event_id` is the id of the appointment. Use it as `async for note in client.list_notes(event_id): …`.
        """
        offset, seen = 0, set[str]()
        while True:
            page = await self._call(_api.notes.build_list_notes(event_id, offset))
            if _api.lists.is_repeated([note.id for note in page.notes], seen):
                raise _api.notes.explain_repeated(offset)
            for note in page.notes:
                yield note
            if not (page.has_more and page.count):
                return
            offset += page.count

    async def create_note(
        self, event_id: str, body: str, *, user_id: str | None = None, once: str | None = None
    ) -> Note:
        """Add a note to the appointment `event_id` [doc: Create Note].

        `body` is its text, at most 5,000 characters; `user_id` is who wrote it. A lost response and `once` are as
        for `create_appointment`; a note that was deleted since raises `InvalidEventError`.
        """
        return await self._create(_api.creations.build_create_note(event_id, body, user_id), once)

    async def update_note(self, event_id: str, note_id: str, body: str, *, user_id: str | None = None) -> Note:
        """Change the note `note_id` of the appointment `event_id` [doc: Update Note].

        `body` is its new text, at most 5,000 characters; `user_id` is who wrote it. Retried after a lost response,
        because it triggers no notifications.
        """
        return await self._call(_api.notes.build_update_note(event_id, note_id, body, user_id))

    async def delete_note(self, event_id: str, note_id: str) -> bool:
        """Delete the note `note_id` of the appointment `event_id`; `True` if the server reports success.

        Source: Delete Note [doc].
        """
        return await self._call(_api.notes.build_delete_note(event_id, note_id))

    async def get_calendar(self, calendar_id: str) -> Calendar:
        """Read the calendar `calendar_id` with its team and settings [doc: Get Calendar].

        Needs the scope `calendars.readonly`.
        """
        return await self._call(_api.calendars.build_get_calendar(calendar_id))

    async def list_calendars(
        self, *, group_id: str | None = None, show_drafted: bool | None = None, location_id: str | None = None
    ) -> list[Calendar]:
        """List the calendars of a location, or of its group `group_id` [doc: Get Calendars].

        `location_id` defaults to the client's own. `show_drafted=False` leaves out inactive calendars, which the
        server includes by default.
        """
        location = self._choose_location(location_id)
        return await self._call(
            _api.calendars.build_list_calendars(location, group_id=group_id, show_drafted=show_drafted)
        )

    def _choose_location(self, location_id: str | None) -> str | None:
        return self._location_id if location_id is None else location_id

    async def _call(self, request: Request[T]) -> T:
        return (await self._pipeline.call(request)).value

    async def _create(
        self,
        request: Request[T],
        once: str | None,
        location_id: object = None,
        recall: Callable[[str], Request[T]] | None = None,
    ) -> T:
        """Create something, under a key if there is one. `recall` reads it by its id, where that is possible."""
        if once is None:
            return (await self._pipeline.create(request)).value
        check_may_write(self._access, request.operation.name)
        location = location_id if isinstance(location_id, str) else self._location_id
        calls = self._find_keyed_calls()
        return (await calls.call(self._pipeline, request, once, location or "", recall)).value

    @abstractmethod
    def _find_keyed_calls(self) -> KeyedCalls:
        """Where keys are kept: the client knows what it shares."""


def guard_updates(client: CalendarMethods, precondition: UpdateGuard) -> Update:
    """Return the client's `update_appointment`, which checks the precondition right before each attempt is sent."""
    return partial(client._update_guarded, precondition)  # pyright: ignore[reportPrivateUsage] # of this module


def begin_reading(client: CalendarMethods, granted: Granted) -> Callable[[Change], Update]:
    """Call this right before a reading; the result turns a change into updates that check against that reading.

    `granted`: what was approved for this call so far.
    """
    from .._api.precondition import ReadingClock, UpdateGuard  # noqa: PLC0415 - many programs only update
    from ..reschedule.apply import list_expected  # noqa: PLC0415

    clock = ReadingClock(asyncio.get_running_loop())
    read_at = clock.now()

    def guard(change: Change) -> Update:
        expected = partial(list_expected, change.before, change.updates)
        return guard_updates(client, UpdateGuard(expected, read_at, clock, granted=granted))

    return guard
