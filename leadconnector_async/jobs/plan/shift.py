"""Wall-clock times and shifts of a plan.

A clinic thinks in wall-clock time: "the same hour, two days later" is 47 or 49 hours where the clocks change in
between. So the weeks and days of a shift are counted in local time of a zone, its hours and minutes as time that
passes.

A time that the clock skips, or shows twice, is an error and not a guess.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from ..._validation.arguments import refuse
from ..._validation.moments import BadMoment, check_name, has_other_meaning
from ..._validation.settings import to_text
from ..._validation.text import show

_SHIFT: Final = re.compile(
    r"(?P<sign>[+-])?(?:(?P<weeks>\d{1,4})w)?(?:(?P<days>\d{1,4})d)?(?:(?P<hours>\d{1,5})h)?(?:(?P<minutes>\d{1,6})m)?"
)


class Shift(Struct, frozen=True):
    """How far an appointment moves, such as `+2d`, `-90m` or `1w2d`."""

    days: int = 0
    """Days on the clock: the time of day stays, whatever the clocks do in between."""
    minutes: int = 0
    """Minutes that pass."""

    def __str__(self) -> str:
        """What `parse_shift` reads, however long it is."""
        sign = "-" if self.days < 0 or self.minutes < 0 else "+"
        weeks = -(-max(0, abs(self.days) - 9999) // 7)
        hours = -(-max(0, abs(self.minutes) - 999_999) // 60)
        days, minutes = abs(self.days) - 7 * weeks, abs(self.minutes) - 60 * hours
        parts = ((weeks, "w"), (days, "d"), (hours, "h"), (minutes, "m"))
        return sign + ("".join(f"{count}{unit}" for count, unit in parts if count) or "0m")


class BadZone(BadMoment):
    """A zone that is unknown, or usually not the one that is meant."""


def parse_shift(text: str) -> Shift:
    """Read a shift: a sign, then weeks, days, hours and minutes, each if needed.

    `text` is such as `+1w`, `-2d` or `+1h30m`.

    Raises `InvalidRequestError`, a `ValueError`.
    """
    match = _SHIFT.fullmatch((to_text(text) or "").strip())
    if match is None or not any(match[unit] for unit in ("weeks", "days", "hours", "minutes")):
        raise refuse("shift", text, "it is not a valid shift", "write it like +2d, -90m or 1w2d", "")
    sign = -1 if match["sign"] == "-" else 1
    weeks, days, hours, minutes = (int(match[unit] or 0) for unit in ("weeks", "days", "hours", "minutes"))
    return Shift(sign * (weeks * 7 + days), sign * (hours * 60 + minutes))


def apply_shift(moment: datetime, shift: Shift, zone: str | None) -> datetime:
    """Move an aware time. Raises `ValueError` where whole days are asked for without a zone, or fall into a gap."""
    if shift.days:
        if zone is None:
            raise ValueError("a shift by days keeps the time of day, and so needs a time zone")
        check_zone(zone, moment)
        wall = moment.astimezone(find_zone(zone)).replace(tzinfo=None) + timedelta(days=shift.days)
        moment = place(wall, zone)
    moved = moment.astimezone(UTC) + timedelta(minutes=shift.minutes)
    return moved.astimezone(find_zone(zone)) if zone is not None else moved.astimezone(fix_offset(moment))


def place(wall: datetime, zone: str) -> datetime:
    """Give a wall-clock time the offset of its zone. Raises `ValueError` for a time in a gap or an overlap.

    Raises `BadZone` for a zone that is unknown, or without the summer time that is usually meant.
    """
    if wall.fold:
        wall = wall.replace(fold=0)
    # In a quarter of the time that `replace` takes.
    local = datetime.combine(wall, wall.time(), find_zone(zone))
    if has_other_meaning(zone):
        check_zone(zone, local)
    if local.utcoffset() == local.replace(fold=1).utcoffset():
        return local
    exists = local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) == wall
    kind = "occurs twice" if exists else "does not exist"
    raise ValueError(f"{wall.isoformat()} {kind} in {zone}; write it with an offset")


def check_zone(zone: str, moment: datetime) -> None:
    """Refuse a zone without the summer time that is usually meant at an aware moment. Raises `BadZone`."""
    try:
        check_name(zone, moment)
    except BadMoment as bad:
        raise BadZone(bad.reason, bad.hint) from None


@lru_cache(maxsize=64)
def find_zone(zone: str) -> ZoneInfo:
    """The zone of an IANA name. Raises `BadZone`, a `ValueError`."""
    try:
        return ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        raise BadZone(f"{show(zone)} is not an IANA time zone", "name one such as America/New_York") from None


def fix_offset(moment: datetime) -> timezone:
    """The offset of an aware time, as a zone of its own."""
    return timezone(moment.utcoffset() or timedelta())
