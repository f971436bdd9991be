"""Gives each appointment of a plan a free slot of its own calendar and person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from msgspec import Struct

from ..._api.free_slots import LONGEST_FREE_SLOTS
from ..._calendar import Calendar
from ...models import Appointment

SEARCHED: Final = LONGEST_FREE_SLOTS
"""How far from the end of the plan's range free slots are looked for: as far as one request lists them."""

_UNITS: Final = {"mins": "minutes", "hours": "hours"}
_COLLECTIVE: Final = "collective"


class Whose(Struct, frozen=True):
    """The calendar and the person of a slot."""

    calendar_id: str
    user_id: str | None


class Slot(Struct, frozen=True):
    """A time at which an appointment can begin."""

    start: datetime
    """In the offset in which it was offered."""
    free_until: datetime
    """The end of the slots that follow each other from here on."""


class Offer(Struct, frozen=True):
    """The free slots of a calendar and a person."""

    slots: tuple[Slot, ...]
    """In order of time."""
    takes: frozenset[str]
    """Ids of everybody whose time a slot takes; of the calendar, if it is nobody's in particular."""


Offers: TypeAlias = Mapping[Whose, Offer]


def find_whose(event: Appointment, changes: Mapping[str, str]) -> Whose | None:
    """Whose slot an appointment needs, after the other changes; `None` without a calendar."""
    calendar = changes.get("calendar_id", event.calendar_id)
    user = changes.get("assigned_user_id", event.assigned_user_id)
    return Whose(calendar, user or None) if calendar else None


def make_offer(calendar: Calendar, whose: Whose, starts: Iterable[datetime]) -> Offer | None:
    """The slots that a calendar lists for a person; `None` if it does not show how long they are."""
    unit = _UNITS.get(calendar.slot_duration_unit or "")
    if not calendar.slot_duration or unit is None:
        return None
    takes = {whose.user_id or whose.calendar_id}
    if calendar.calendar_type == _COLLECTIVE:
        takes |= {whose.calendar_id, *(one.user_id for one in calendar.team_members or () if one.user_id)}
    return Offer(tuple(_join(starts, timedelta(**{unit: calendar.slot_duration}))), frozenset(takes))


def _join(starts: Iterable[datetime], length: timedelta) -> list[Slot]:
    """Slots that touch or overlap are free as one."""
    slots: list[Slot] = []
    free_until = datetime.max.replace(tzinfo=UTC)
    following = free_until
    for start in sorted(starts, key=_to_utc, reverse=True):
        end = _to_utc(start) + length
        free_until = free_until if slots and end >= following else end
        following = _to_utc(start)
        slots.append(Slot(start, free_until))
    return slots[::-1]


class SlotPicker:
    """Hands out free slots, the earliest first, and no person's time twice."""

    def __init__(self, offers: Offers) -> None:
        self._offers = offers
        self._taken: dict[str, list[tuple[datetime, datetime]]] = {}

    def take(self, whose: Whose | None, length: timedelta) -> datetime:
        """The start of the first slot that is free for so long. Raises `ValueError` with the reason for none."""
        if whose is None:
            raise ValueError("the server does not show its calendar")
        offer = self._offers.get(whose)
        if offer is None:
            raise ValueError("its calendar does not show how long a slot is")
        for slot in offer.slots:
            start = _to_utc(slot.start)
            if start + length <= slot.free_until and self._is_free(offer, start, start + length):
                for name in offer.takes:
                    self._taken.setdefault(name, []).append((start, start + length))
                return slot.start
        raise ValueError(f"no free slot is long enough within {SEARCHED.days} days")

    def _is_free(self, offer: Offer, start: datetime, end: datetime) -> bool:
        return not any(
            start < until and since < end for name in offer.takes for since, until in self._taken.get(name, ())
        )


def _to_utc(moment: datetime) -> datetime:
    """Times of one zone compare by their clock, which goes back once a year."""
    return moment.astimezone(UTC)
