"""Free slots of several calendars and users, merged: each instant once, with everybody who offers it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final

from msgspec import Struct

from .._calendar import FreeSlots, SlotOffer, SlotOwner
from .._validation.arguments import check_ids, refuse

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SlotSource(Struct, frozen=True):
    """Whose slots one series of requests lists."""

    calendar_id: str
    user_id: str | None

    def __str__(self) -> str:
        user = "" if self.user_id is None else f", user {self.user_id}"
        return f"calendar {self.calendar_id}{user}"


def list_sources(calendar_ids: Sequence[str], user_ids: Sequence[str]) -> list[SlotSource]:
    """Each calendar with each user, without duplicates: a response does not say which user is free."""
    calendars = dict.fromkeys(check_ids("calendar_id", calendar_ids))
    if not calendars:
        hint = "pass the id of a calendar, or a list of at least one"
        raise refuse("calendar_id", calendar_ids, "it names no calendar", hint)
    users: list[str | None] = [*dict.fromkeys(check_ids("user_ids", user_ids))]
    return [SlotSource(calendar_id, user_id) for calendar_id in calendars for user_id in users or [None]]


def merge_free_slots(
    found: Iterable[tuple[SlotSource, FreeSlots]], slot_length: timedelta | None = None
) -> list[SlotOffer]:
    """Merge slots by instant, whatever their offsets; the result is in order of time.

    With `slot_length`, a slot that begins before the previous one is over is left out, so no two overlap.
    """
    owners: dict[timedelta, dict[SlotSource, SlotOwner]] = {}
    for source, days in found:
        for slot in chain.from_iterable(days.values()):
            # Since the epoch: zones compare by instant then, also in the hour that a clock shows twice.
            known = owners.setdefault(slot - _EPOCH, {})
            known.setdefault(source, SlotOwner(source.calendar_id, source.user_id, slot))
    instants = sorted(owners)
    kept = instants if slot_length is None else _drop_overlaps(instants, slot_length)
    merged = (tuple(owners[instant].values()) for instant in kept)
    return [SlotOffer(offered[0].start_time, offered) for offered in merged]


def _drop_overlaps(instants: list[timedelta], slot_length: timedelta) -> Iterator[timedelta]:
    """Earliest first, which keeps as many as possible."""
    last: timedelta | None = None
    for instant in instants:
        if last is None or instant - last >= slot_length:
            last = instant
            yield instant


def check_slot_length(value: timedelta | None, *, merged: bool) -> None:
    """Raises `InvalidRequestError`."""
    if value is None:
        return
    if not isinstance(value, timedelta) or value <= timedelta(0):
        hint = "pass a timedelta, such as timedelta(minutes=30)"
        raise refuse("slot_length", value, "it is not a positive timedelta", hint)
    if not merged:
        hint = "pass a list of calendars, even for one: [calendar_id]"
        raise refuse("slot_length", value, "it applies to merged slots only", hint)
