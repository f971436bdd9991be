"""What is worth a look before a plan is carried out: it can be sent, but may not be meant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from ...models import Appointment
from .changes import RowChange, Stay, render_length, render_moment, render_move, render_title
from .zones import agrees, name_offset

WarningKind: TypeAlias = Literal["zone", "status", "night", "length", "long", "slot", "unchecked"]
"""What a warning is about: a time in another zone, a status that stays, a time at night, a new length, a long
appointment, a slot of somebody else, a slot that could not be checked."""
_ENDED: Final = frozenset({"showed", "noshow"})
_NIGHT: Final = (22, 6)
_DAY: Final = timedelta(days=1)
_SUMMER: Final = timedelta(hours=1)
"""By how much a clock may change between two times."""


class PlanWarning(Struct, frozen=True):
    """What some rows of a plan do that may not be meant. `str()` is the whole warning."""

    kind: WarningKind
    """What it is about, in one word."""
    count: int
    """Rows that do it."""
    text: str
    """What they do, in words."""
    line: int
    """Of the first of them."""
    event_id: str
    """The appointment of that row."""
    example: str
    """What the first of them does."""

    def __str__(self) -> str:
        return f"{self.text}. Example: line {self.line}, {self.event_id}: {self.example}"


Check: TypeAlias = Callable[[RowChange, datetime], str | None]
"""Returns what is odd about a row, in words."""


class WarningCounter:
    """Counts the odd rows of a plan, by kind."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._counts: dict[WarningKind, int] = {}
        self._firsts: dict[WarningKind, tuple[int, str, str]] = {}

    def add(self, change: RowChange) -> list[str]:
        """Check a row; returns what is odd about it, in words."""
        found: list[str] = []
        for kind, check in _CHECKS.items():
            example = check(change, self._now)
            if example is not None:
                found.append(f"{_SHORT[kind]}: {example}")
                self._counts[kind] = self._counts.get(kind, 0) + 1
                self._firsts.setdefault(kind, (change.line, change.event_id, example))
        return found

    def build(self) -> tuple[PlanWarning, ...]:
        """The warnings, the gravest first."""
        return tuple(
            PlanWarning(kind, count, _describe(kind, count), *self._firsts[kind])
            for kind in _CHECKS
            if (count := self._counts.get(kind))
        )


def _describe(kind: WarningKind, count: int) -> str:
    one, many = _TEXTS[kind]
    return f"1 row {one}" if count == 1 else f"{count} rows {many}"


def _check_zone(change: RowChange, now: datetime) -> str | None:
    """Its times are by another clock: that of a zone, or an offset."""
    before, after = change.before, change.after
    if before is None or after is None or not change.knows_zone:
        return None
    given = _find_other_clock(change, before, after)
    if given is None:
        return None
    return f"the plan says {given}, the calendar shows {name_offset(after.start)}: {render_move(before, after)}"


def _find_other_clock(change: RowChange, before: Stay, after: Stay) -> str | None:
    zone, shift = change.wanted.timezone, change.wanted.shift
    if zone is not None:
        counts = shift is None or shift.days  # hours are the same by every clock
        moments = (before.start, after.start) if change.is_sure else (before.start,)
        return zone if counts and not all(agrees(zone, moment) for moment in moments) else None
    start = change.wanted.update.start_time
    given = datetime.fromisoformat(start) if isinstance(start, str) else start
    offset = given.utcoffset() if isinstance(given, datetime) else None
    if not isinstance(given, datetime) or not offset:  # UTC is nobody's clock: programs write it
        return None
    off = abs(offset - (after.start.utcoffset() or timedelta()))
    return name_offset(given) if off > (timedelta() if change.is_sure else _SUMMER) else None


def _check_status(change: RowChange, now: datetime) -> str | None:
    """The appointment has ended, so the status says, and it will be in the future."""
    status, after = change.found.appointment_status, change.after
    is_kept = status in _ENDED and not isinstance(change.wanted.update.appointment_status, str)
    if not is_kept or not change.moves or after is None or after.start <= now:
        return None
    return f"{status} on {render_moment(after.start)}"


def _check_night(change: RowChange, now: datetime) -> str | None:
    before, after = change.before, change.after
    if before is None or after is None or before.start == after.start or not change.knows_zone:
        return None
    begins, ends = _NIGHT
    return None if ends <= after.start.hour < begins else render_move(before, after)


def _check_length(change: RowChange, now: datetime) -> str | None:
    before, after = change.before, change.after
    if before is None or after is None or before.length == after.length:
        return None
    return f"{render_length(before.length)} -> {render_length(after.length)}"


def _check_is_long(change: RowChange, now: datetime) -> str | None:
    after = change.after
    return None if after is None or after.length <= _DAY or not change.moves else _show_stay(after)


def _show_stay(stay: Stay) -> str:
    return f"{render_moment(stay.start)} to {render_moment(stay.end)} ({render_length(stay.length)})"


def _check_slot(change: RowChange, now: datetime) -> str | None:
    """Its slot is held by an appointment outside of the plan."""
    holder, after = change.holder, change.after
    if after is None or not isinstance(holder, Appointment):
        return None
    return f"{render_moment(after.start)} is held by {holder.id} ({render_title(holder)})"


def _check_is_checked(change: RowChange, now: datetime) -> str | None:
    after = change.after
    return render_moment(after.start) if change.holder is False and after is not None else None


_CHECKS: Final[dict[WarningKind, Check]] = {
    "zone": _check_zone,
    "slot": _check_slot,
    "long": _check_is_long,
    "status": _check_status,
    "night": _check_night,
    "length": _check_length,
    "unchecked": _check_is_checked,
}
_SHORT: Final[dict[WarningKind, str]] = {
    "zone": "another zone",
    "long": "longer than a day",
    "status": "keeps its status",
    "night": "at night",
    "length": "another length",
    "slot": "slot held",
    "unchecked": "slot not checked",
}
_TEXTS: Final[dict[WarningKind, tuple[str, str]]] = {
    "zone": (
        "gives its time in a zone that is not the calendar's",
        "give their times in a zone that is not the calendar's",
    ),
    "long": ("makes an appointment longer than a day", "make appointments longer than a day"),
    "status": (
        "keeps the status showed or noshow at a time in the future",
        "keep the status showed or noshow at a time in the future",
    ),
    "night": (
        "moves an appointment to the night (22:00-06:00)",
        "move appointments to the night (22:00-06:00)",
    ),
    "slot": (
        "moves to a slot that an appointment outside of the plan holds",
        "move to slots that appointments outside of the plan hold",
    ),
    "unchecked": ("moves to a slot that was not checked", "move to slots that were not checked"),
    "length": ("changes the length of an appointment", "change the lengths of appointments"),
}
