"""Times that are probably not what is meant, found before they are sent.

Three mistakes that put a time off by an hour, or by four minutes, without any error:

- An offset that is not a multiple of 15 minutes. None is in use today [field]; `-04:56` is the local mean time that
a pytz zone has until its `localize` is called.
- A time that its zone skips. zoneinfo gives it an offset nevertheless, and a round trip through UTC reveals it: the
  zone's wall-clock time at that moment is another one. A repeated time is accepted: its `fold` says which is meant.
- `EST` and `MST`. They have no daylight saving time, and in July usually New York or Denver is meant.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final

from ..exceptions import explain

_QUARTER: Final = timedelta(minutes=15)
_NOTHING: Final = timedelta()
_WITHOUT_SUMMER: Final = {
    "EST": ("America/New_York", "America/Panama"),
    "MST": ("America/Denver", "America/Phoenix"),
}
"""Zones without daylight saving time: the zone that is usually meant, and one that has that time all year."""
_NAMES: Final = ("key", "zone", "_filename")
"""Attributes with a zone's name: of zoneinfo (and pendulum), of pytz, of dateutil."""
NAME_AN_INSTANT: Final = "give an aware datetime, or ISO 8601 such as '2021-06-23T03:30:00+05:30'"


class BadMoment(ValueError):  # noqa: N818 - it never leaves the package
    """What is wrong with a time whose field is not known here."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(explain(reason, hint))
        self.reason = reason
        self.hint = hint


def check_moment(value: datetime, *, may_be_skipped: bool = False) -> datetime:
    """The same time as a plain `datetime`. Raises `BadMoment` if its offset is missing or implausible."""
    moment = to_datetime(value)
    offset = read_offset(moment)
    if offset is None:
        raise BadMoment("it has no offset", NAME_AN_INSTANT)
    if offset % _QUARTER:
        raise refuse_offset(offset)
    if type(moment.tzinfo) is not timezone:
        check_zone(moment, may_be_skipped=may_be_skipped)
    return moment


def to_datetime(value: datetime) -> datetime:
    """The same time as a plain `datetime`. Raises `BadMoment` for a missing one, such as `pandas.NaT`.

    Subclasses render and compare in ways of their own, so none goes further than this.
    """
    if type(value) is datetime:
        return value
    kind = type(value).__name__
    try:
        clock = (value.hour, value.minute, value.second, value.microsecond)
        plain = datetime(value.year, value.month, value.day, *clock, value.tzinfo, fold=value.fold)
        agrees = value.utcoffset() == plain.utcoffset()
        is_fine = bool(getattr(value, "nanosecond", 0))
    except Exception:
        raise BadMoment(f"it is a {kind} without a date and time", "leave the field out if it is missing") from None
    if not agrees:
        raise BadMoment(f"it is a {kind} that contradicts itself", NAME_AN_INSTANT)
    if is_fine:  # of `pandas.Timestamp`: a datetime cannot hold nanoseconds
        raise BadMoment("the server refuses fractions of a second", "round it to whole seconds")
    return plain


def read_offset(moment: datetime) -> timedelta | None:
    """The offset; `None` for a naive time. Raises `BadMoment` if its zone cannot compute it."""
    try:
        return moment.utcoffset()
    except Exception as error:
        reason = f"its time zone could not compute the offset ({type(error).__name__})"
        raise BadMoment(reason, NAME_AN_INSTANT) from None


def refuse_offset(offset: timedelta) -> BadMoment:
    """The error for an offset that is not a multiple of 15 minutes."""
    sign, size = ("-", -offset) if offset < _NOTHING else ("+", offset)
    minutes, seconds = divmod(int(size.total_seconds()), 60)
    shown = f"{sign}{minutes // 60:02}:{minutes % 60:02}{f':{seconds:02}' if seconds else ''}"
    reason = f"its offset is not in whole minutes ({shown})" if seconds else f"its offset is {shown}"
    return BadMoment(
        f"{reason}, but all offsets in use are multiples of 15 minutes; passing a pytz zone to datetime() gives "
        "such an offset",
        "use zone.localize(…) or zoneinfo.ZoneInfo",
    )


def check_zone(moment: datetime, *, may_be_skipped: bool = False) -> None:
    """Refuse a time that its zone skips, and a zone that is usually not what is meant."""
    zone = moment.tzinfo
    if zone is None:
        return
    name = find_name(zone)
    if has_other_meaning(name):
        check_name(name, moment)
    shown = None if may_be_skipped else _show_on_its_clock(moment, zone)
    if shown is not None and (shown.date(), shown.time()) != (moment.date(), moment.time()):
        raise BadMoment(
            f"it does not exist in {name or 'its time zone'}: the clock there shows {shown:%H:%M} at that moment",
            f"give a time that exists, such as {shown.isoformat()} (with pytz: zone.normalize(…))",
        )


def check_name(name: str, moment: datetime) -> None:
    """Refuse `EST` and `MST` at a moment when the zones that are usually meant have daylight saving time."""
    meant = _find_meant(name)
    if meant is not None and _has_summer_time(meant[0], moment):
        raise BadMoment(
            f"{name} has no daylight saving time, so on {moment.date()} it is usually an hour off",
            f"use {meant[0]} (with daylight saving time) or {meant[1]} (without)",
        )


@lru_cache(maxsize=64)
def has_other_meaning(name: str) -> bool:
    """Whether `check_name` refuses some moments of a zone."""
    return _find_meant(name) is not None


def _find_meant(name: str) -> tuple[str, str] | None:
    return _WITHOUT_SUMMER.get(name.rpartition("/")[2].upper())


def find_name(zone: tzinfo) -> str:
    """The name of a zone; empty if it has none."""
    for attribute in _NAMES:
        try:
            name = getattr(zone, attribute, None)
        except Exception:  # noqa: S112 - of a zone that is not ours; the next attribute may do
            continue
        if isinstance(name, str) and name:
            return name.rpartition("zoneinfo/")[2] if attribute == "_filename" else name
    return ""


def _show_on_its_clock(moment: datetime, zone: tzinfo) -> datetime | None:
    """The wall-clock time in the zone at that moment; `None` if it cannot be computed."""
    try:
        return moment.astimezone(UTC).astimezone(zone)
    except Exception:
        return None


def _has_summer_time(place: str, moment: datetime) -> bool:
    try:
        return bool(moment.astimezone(_load_zone(place)).dst())
    except Exception:  # no data about zones here, or at an end of the calendar
        return False


@lru_cache(maxsize=8)
def _load_zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - few times are in a zone that needs it

    return ZoneInfo(name)
