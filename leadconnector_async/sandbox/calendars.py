"""Calendars: found by their kind, and added to those of the seed, one of each kind or as a test wants them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, get_args

from .models import Calendar, CalendarKind, Group, User
from .seed import build_id
from .settings import check_number, check_switch, check_word, reject_setting
from .store import Store

_TEAM_SIZES: Final[dict[CalendarKind, tuple[int, int]]] = {
    "round_robin": (1, 100),
    "service_booking": (1, 100),
    "collective": (2, 100),
    "class_booking": (1, 1),
    "personal": (1, 1),
    "event": (0, 0),
}
"""The fewest and the most members of a team: a class and a person have one, an event calendar none [doc, field]."""
_OPENS: Final = 8
_CLOSES: Final = 18
_MOST_SEATS: Final = 9_999
_MOST_HOURS: Final = 10_000
_VARIED: Final[tuple[tuple[CalendarKind, str, tuple[int, ...], int, int, int, bool, str], ...]] = (
    ("class_booking", "Yoga class", (3,), 60, 8, 0, True, "Courses"),
    ("personal", "Nutrition advice", (0,), 30, 1, 0, True, "Advice"),
    ("collective", "Case conference", (0, 1, 2), 60, 1, 0, True, "Advice"),
    ("service_booking", "Massage", (1, 2), 45, 1, 0, True, "Advice"),
    ("event", "Open day", (), 60, 20, 0, True, "Courses"),
    ("round_robin", "Home visits", (1, 2), 60, 1, 48, True, "Advice"),
    ("personal", "Sleep clinic (draft)", (3,), 30, 1, 0, False, "Advice"),
)
"""Kind, name, members of the team, minutes, seats, hours of notice, whether it is active, and group."""


class Calendars:
    """The calendars of a sandbox."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._seed = seed

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._store.calendars)}>"

    def find(self, kind: CalendarKind | None = None, location_id: str | None = None) -> tuple[Calendar, ...]:
        """Those of a location, the first if none is named; all, or those of one kind.

        `location_id` is the location, and `kind` the type.
        """
        home = location_id or self._store.first_location.id
        calendars = [one for one in self._store.calendars.values() if one.location_id == home]
        return tuple(one for one in calendars if kind in (None, one.kind))

    def add(
        self,
        kind: CalendarKind = "round_robin",
        *,
        name: str = "Added",
        team: Iterable[str] | None = None,
        slot_minutes: int = 30,
        seats: int = 1,
        notice_hours: int = 0,
        is_active: bool = True,
        group: str | None = None,
        location_id: str | None = None,
    ) -> Calendar:
        """Add a calendar, open from 8 to 18 every day in the location's time zone. `Sandbox.reset` removes it.

        `kind` is its type, `name` its name, `slot_minutes` the length of a slot, and `location_id` the location,
        the first by default. `team` lists users, known or new. Without it, the calendar gets new ones, as many as
        its kind needs: one for `personal` and `class_booking`, none for `event`, two for the others. `seats` is how
        many appointments may have the same slot; `notice_hours`, how long before its start a slot can be booked at
        the latest. `is_active=False` makes a draft, without free slots. `group` is the name of its group. Raises
        `KeyError` for an unknown location; `InvalidRequestError`, a `ValueError`, for what the kind does not have.
        """
        store = self._store
        check_word("kind", kind, get_args(CalendarKind))
        location = store.locations[location_id or store.first_location.id]
        calendar = Calendar(
            build_id(self._seed, f"calendar added to {location.id}", len(store.calendars)),
            name,
            location.zone,
            self._make_team(kind) if team is None else tuple(team),
            slot_minutes,
            _OPENS,
            _CLOSES,
            location.id,
            is_active=is_active,
            kind=kind,
            seats=seats,
            notice_hours=notice_hours,
        )
        _check(calendar)
        self._put(calendar, group)
        return calendar

    def add_varied(self) -> None:
        """Add to each location a calendar of every kind, one that needs notice and a draft, with a new staff."""
        for number, location_id in enumerate(self._store.locations):
            for kind, name, members, minutes, seats, notice, active, group in _VARIED:
                self.add(
                    kind,
                    name=name,
                    team=[build_id(self._seed, f"varied user of {number}", member) for member in members],
                    slot_minutes=minutes,
                    seats=seats,
                    notice_hours=notice,
                    is_active=active,
                    group=group,
                    location_id=location_id,
                )

    def _put(self, calendar: Calendar, group: str | None) -> None:
        store, home = self._store, calendar.location_id
        for user_id in calendar.team:
            store.users.setdefault(user_id, User(user_id, calendar.zone))
        store.calendars[calendar.id] = calendar
        if group is not None:
            group_id = build_id(self._seed, f"group {group} of {home}", 0)
            store.groups.known[group_id] = Group(group_id, home, group)
            store.groups[calendar.id] = group_id

    def _make_team(self, kind: CalendarKind) -> tuple[str, ...]:
        """New users, as many as a calendar of a kind needs."""
        first, (fewest, most) = len(self._store.users), _TEAM_SIZES[kind]
        count = min(most, max(2, fewest))
        return tuple(build_id(self._seed, "user added", first + number) for number in range(count))


def _check(calendar: Calendar) -> None:
    check_number("slot_minutes", calendar.slot_minutes, 1, (_CLOSES - _OPENS) * 60)
    check_number("seats", calendar.seats, 1, _MOST_SEATS)
    check_number("notice_hours", calendar.notice_hours, 0, _MOST_HOURS)
    check_switch("is_active", calendar.is_active)
    fewest, most = _TEAM_SIZES[calendar.kind]
    if not fewest <= len(set(calendar.team)) <= most:
        size = f"exactly {fewest}" if fewest == most else f"at least {fewest}"
        raise reject_setting("team", list(calendar.team), f"a {calendar.kind} calendar has {size} team members")
