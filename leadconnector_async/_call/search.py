"""Find what a creation has made, in the part of the calendar where it would be shown.

A list that does not show it proves nothing for as long as the server may still be at work on the request, so the
calendar is listed again until then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Container
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypeVar

from msgspec import structs

from .._api.created import (
    READ_LAG,
    Ambiguous,
    Candidate,
    Found,
    NotFound,
    choose_wait,
    estimate_began,
    identify,
)
from .._api.lists import is_repeated
from .._api.request import Page, Request, Search
from .._retry.decide import Failure
from ..response import Response
from .creations import Turn
from .state import CallState
from .steps import NotApplied, Unread, fail_reading

T = TypeVar("T")

_TOO_LATE: Final = "The calendar does not show it, and the deadline comes before the server has certainly finished."

ReadPage: TypeAlias = Callable[[Request[Page[T]]], Awaitable[Response[Page[T]] | Failure]]
"""Sends a request that lists a part of the calendar."""


async def find_created(
    search: Search[T], read: ReadPage[T], began: float, known: Container[str] = (), slept: float = 0.0
) -> Response[T] | NotFound | Ambiguous | Failure:
    """List the calendar once, and identify what a call has made that began at this moment of the loop's clock.

    `known` are ids of what it cannot have made; `slept` is how long the machine may have slept since it began. The
    response is that of the list, with what was found as its value.
    """
    loop = asyncio.get_running_loop()
    candidates: list[Candidate[T]] = []
    offset, complete, seen = 0, True, set[str]()
    while True:
        listed = await read(search.build_page(offset))
        if isinstance(listed, Failure):
            return listed
        page = listed.value
        candidates += page.candidates
        complete = complete and page.complete
        if page.following is None:
            break
        if is_repeated([one.id for one in page.candidates], seen):
            complete = False
            break
        offset = page.following
    date = listed.headers.get("Date")
    clock = datetime.fromtimestamp(time.time(), UTC)
    verdict = identify(candidates, estimate_began(date, clock, loop.time() - began, slept), known)
    if isinstance(verdict, NotFound) and not complete:
        return Ambiguous(())
    if not isinstance(verdict, Found):
        return verdict
    found = verdict.candidate.value
    return Response(found, listed.status, listed.headers, listed.attempts, listed.body, reconciled=True)


async def search_calendar(
    call: CallState[T], search: Search[T], read: ReadPage[T], turn: Turn, apply_timeout: float
) -> Response[T] | Unread | NotApplied:
    """List the calendar until it shows what the call has made, or until the server cannot apply it any more."""
    clock = asyncio.get_running_loop().time
    since, within = clock(), apply_timeout if call.lost else min(READ_LAG, apply_timeout)
    while True:
        found = await find_created(search, read, call.began or since, turn.ids, turn.measure_sleep(clock()))
        if isinstance(found, Failure):
            call.unread = f"Reading the calendar failed: {found.error.args[0]}"
            return Unread(found)
        if not isinstance(found, NotFound):
            return _conclude(call, found, turn)
        wait = choose_wait(clock() - since, within)
        if wait is None:
            call.lost = False
            call.resolve(applied=False)
            return NotApplied()
        if call.deadline is not None and clock() + wait >= call.deadline:
            return fail_reading(call, _TOO_LATE)
        await asyncio.sleep(wait)


def _conclude(call: CallState[T], found: Response[T] | Ambiguous, turn: Turn) -> Response[T] | Unread:
    """Claim what was found, unless an earlier call, whose outcome is not known, may have made it."""
    if isinstance(found, Ambiguous):
        call.candidates = found.ids
    elif (call.began or 0.0) < turn.late_until:
        call.candidates = (str(getattr(found.value, "id", "")),)
    else:
        call.resolve(applied=True)
        return structs.replace(found, attempts=call.attempts)
    return fail_reading(call, _explain(len(call.candidates)))


def _explain(candidates: int) -> str:
    if not candidates:
        return "Part of the calendar cannot be read, so it may be there."
    which = "One entry of the calendar" if candidates == 1 else f"Each of {candidates} entries of the calendar"
    return f"{which} may be what was created, or may have been there before: see candidates."
