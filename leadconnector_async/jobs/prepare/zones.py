"""The zones of calendars: the API names none, but shows times with an offset.

Free slots are shown by the calendar's clock, appointments by that of their assignee. So the slots tell the zone;
where they cannot be read, the appointments do if all of a calendar agree. A zone that the plan names is the
calendar's if its clock agrees with every time that was seen; without one, a moment has the offset of the nearest
time that was seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from msgspec import Struct

from ..plan.shift import find_zone

Calendar: TypeAlias = tuple[str, str]
"""A location, and a calendar of it."""
_DAY: Final = 86_400
_NEAR: Final = timedelta(days=4)


class _Seen(Struct):
    """What was seen of a calendar."""

    events: dict[int, datetime]
    """By day: a time of an appointment."""
    slots: dict[int, datetime]
    """By day: a free slot."""
    names: set[str]
    """The zones that the plan names."""
    agrees: bool = True
    """Whether all appointments of a day have the same offset."""
    first: datetime | None = None
    """The earliest time that the plan moves from or to, and the last."""
    last: datetime | None = None
    zone: tzinfo | None = None


class CalendarZones:
    """What is known of the zones of calendars."""

    def __init__(self) -> None:
        self._seen: dict[Calendar, _Seen] = {}

    def learn(
        self, calendar: Calendar, shown: datetime | None, name: str | None, moments: Iterable[datetime]
    ) -> None:
        """Learn from an appointment: how its start is shown, the zone that its row names, and from when to when."""
        seen = self._seen.get(calendar)
        if seen is None:
            seen = self._seen[calendar] = _Seen({}, {}, set())
        if shown is not None:
            known = seen.events.setdefault(_find_day(shown), shown)
            seen.agrees = seen.agrees and known.utcoffset() == shown.utcoffset()
        if name is not None:
            seen.names.add(name)
        for moment in moments:
            seen.first = moment if seen.first is None else min(moment, seen.first)
            seen.last = moment if seen.last is None else max(moment, seen.last)

    def list_calendars(self) -> list[tuple[Calendar, datetime, datetime]]:
        """The calendars, each with the first and the last time that matters."""
        return [
            (calendar, seen.first, seen.last)
            for calendar, seen in self._seen.items()
            if seen.first is not None and seen.last is not None
        ]

    def learn_slots(self, calendar: Calendar, slots: Iterable[datetime]) -> None:
        """Learn from the free slots of a calendar."""
        for slot in slots:
            self._seen[calendar].slots.setdefault(_find_day(slot), slot)

    def is_known(self, calendar: Calendar) -> bool:
        """Whether the zone is the calendar's, and not only that of somebody there."""
        seen = self._seen.get(calendar)
        return seen is not None and (bool(seen.slots) or (seen.agrees and bool(seen.events)))

    def is_sure(self, calendar: Calendar, moment: datetime) -> bool:
        """Whether the offset at a moment is sure: the clocks may change between it and the nearest time seen."""
        zone = self.find(calendar, moment)
        seen = self._seen.get(calendar, _Seen({}, {}, set())).slots.values()
        return isinstance(zone, ZoneInfo) or any(abs(slot - moment) <= _NEAR for slot in seen)

    def find(self, calendar: Calendar, moment: datetime) -> tzinfo:
        """The zone of a calendar; if its name is not known, one with the offset of the nearest time."""
        seen = self._seen.get(calendar)
        if seen is None:
            return UTC
        known = (seen.slots or seen.events).values()
        if seen.zone is None and known:
            right = (name for name in sorted(seen.names) if all(agrees(name, one) for one in known))
            seen.zone = next(map(find_zone, right), None)
        if seen.zone is not None:
            return seen.zone
        nearest = min(known, key=lambda one: abs(one - moment), default=moment)
        return timezone(nearest.utcoffset() or timedelta())


def agrees(name: str, moment: datetime) -> bool:
    """Whether an aware time has the offset that a zone has then."""
    return moment.astimezone(find_zone(name)).utcoffset() == moment.utcoffset()


def name_offset(moment: datetime) -> str:
    """The offset of an aware time, such as `UTC-05:00`."""
    return f"UTC{moment.isoformat(timespec='minutes')[16:]}" if moment.utcoffset() else "UTC"


def _find_day(moment: datetime) -> int:
    return int(moment.timestamp()) // _DAY
