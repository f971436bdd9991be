"""The operations that find something, by several requests if need be: free slots of several calendars and users.

Requests of one call run side by side, a few at a time and each within the rate limit. If one fails, the others are
cancelled, and the error says which calendar it was about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar, overload

from ._api.free_slots import GET_FREE_SLOTS, FreeSlots, UserIdsForm, build_get_free_slots, join_free_slots
from ._api.request import Request
from ._api.slot_offers import SlotOffer, check_slot_length, list_sources, merge_free_slots
from ._methods import CalendarMethods
from .exceptions import DecodeError, LeadConnectorError
from .response import Response

T = TypeVar("T")

_AT_ONCE: Final = 8
"""Requests of one call that are on their way, or wait for the rate limit, at the same time."""


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
        """List free slots between two aware times [doc: Get Free Slots].

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
        check_slot_length(slot_length, merged=isinstance(calendar_id, list | tuple))
        build = partial(
            build_get_free_slots,
            start=start,
            end=end,
            timezone=timezone,
            user_ids_form=user_ids_form,
            enable_look_busy=enable_look_busy,
        )
        if not isinstance(calendar_id, list | tuple):
            return await self._read_free_slots(list(build(calendar_id, user_ids=user_ids)))
        sources = list_sources(calendar_id, user_ids)
        parts = [list(build(one.calendar_id, user_ids=[one.user_id] if one.user_id else [])) for one in sources]
        calls = [partial(self._read_free_slots, one) for one in parts]
        found = await _run_bounded(list(map(str, sources)), calls)
        return merge_free_slots(zip(sources, found, strict=True), slot_length)

    async def _read_free_slots(self, parts: list[Request[FreeSlots]]) -> FreeSlots:
        return join_free_slots([_check_free_slots(await self._pipeline.call(one)) for one in parts])


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
                error.args = (f"{error.args[0]} This was about {name}.",)
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
        raise DecodeError(
            f"The free slots of {', '.join(days)[:200]} cannot be read.",
            operation=GET_FREE_SLOTS.name,
            status=response.status,
            attempts=response.attempts,
            outcome="not_applied",
        )
    return response.value
