"""Times as a spreadsheet shows them, such as `3/17/2027 9:00 AM`: read where they have one meaning.

A cell is read by itself: what the rows around it look like decides nothing. So `3/17/2027` is a day in March, and
`3/9/2027` is refused until somebody says which of its numbers is the month.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Literal, TypeAlias

from ..._validation.moments import BadMoment
from ..._validation.text import show

DateFormat: TypeAlias = Literal["dmy", "mdy"]
"""Whether the day or the month comes first in a date such as 3/9/2027."""

MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
WRITE: Final = "write it as 2027-03-17T09:00:00, with an offset or a zone"
FORMAT_COLUMN: Final = "give the column the format yyyy-mm-dd hh:mm, and save the plan again"

_NUMBERS: Final = re.compile(r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})(?![\d/.-])")
_DAY_FIRST: Final = re.compile(r"(?P<day>\d{1,2})[- ](?P<month>[A-Za-z]{3,9})\.?,?[- ](?P<year>\d{2,4})(?!\d)")
_MONTH_FIRST: Final = re.compile(r"(?P<month>[A-Za-z]{3,9})\.? (?P<day>\d{1,2}),? (?P<year>\d{2,4})(?!\d)")
_CLOCK: Final = re.compile(
    r"(?:T|,? at |, ?| )(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?"
    r"(?: ?(?P<half>[ap])\.?m\.?)?(?: ?(?P<offset>Z|UTC|GMT|[+-]\d{2}:?\d{2}))?",
    re.IGNORECASE,
)
_SERIAL: Final = re.compile(r"\d{5}(?:[.,]\d+)?")
_FIRST_DAY: Final = datetime(1899, 12, 30)
"""Day 0 of a spreadsheet; its day 60 does not exist, so this holds from March 1900."""


def read_shown_time(text: str, order: DateFormat | None) -> datetime | None:
    """The time, naive if it names no offset; `None` for what is not a date.

    Raises `BadMoment` for a date with two meanings, and for one that is not whole.
    """
    text = " ".join(text.split())
    if _SERIAL.fullmatch(text):
        meant = _FIRST_DAY + timedelta(minutes=round(float(text.replace(",", ".")) * 1440))
        raise BadMoment(describe_number(text, meant), FORMAT_COLUMN)
    match = _NUMBERS.match(text)
    if match is not None:
        day = _read_numbers(text, match, order)
    elif (match := _DAY_FIRST.match(text) or _MONTH_FIRST.match(text)) is not None:
        month = find_month(match["month"])
        if month is None:
            return None
        day = (_check_year(text, match["year"]), month, int(match["day"]))
    else:
        return None
    return _combine(text, day, text[match.end() :])


def describe_number(text: str, meant: datetime) -> str:
    """Why a spreadsheet's number for a time is refused."""
    return f"{show(text)} is a spreadsheet's number for a time, probably {meant:%Y-%m-%d %H:%M}"


def find_month(name: str) -> int | None:
    """The number of a month by its English name, whole or in short."""
    for number, month in enumerate(MONTHS, start=1):
        if name.lower() in (month.lower(), month[:3].lower()) or (number == 9 and name.lower() == "sept"):
            return number
    return None


def _read_numbers(text: str, match: re.Match[str], order: DateFormat | None) -> tuple[int, int, int]:
    """Year, month and day."""
    if len(match[1]) == 4:
        return int(match[1]), int(match[3]), int(match[4])
    first, second, year = int(match[1]), int(match[3]), _check_year(text, match[4])
    if order is None and first != second and max(first, second) <= 12:
        meanings = (
            f"{first} {MONTHS[second - 1]} or {second} {MONTHS[first - 1]}" if min(first, second) else "no day"
        )
        raise BadMoment(
            f"{show(text)} is {meanings}", "set the date format to dmy or mdy, or write it as 2027-03-17T09:00"
        )
    is_day_first = first > 12 if order is None else order == "dmy"
    day, month = (first, second) if is_day_first else (second, first)
    if order is not None and month > 12 >= day:
        raise BadMoment(f"{show(text)} has no month {month}, but the date format is {order}", WRITE)
    return year, month, day


def _check_year(text: str, year: str) -> int:
    if len(year) != 4:
        raise BadMoment(f"{show(text)} has a year of {len(year)} digits", "write the year with four digits")
    return int(year)


def _combine(text: str, day: tuple[int, int, int], rest: str) -> datetime:
    if not rest:
        raise BadMoment(f"{show(text)} has no time of day", WRITE)
    clock = _CLOCK.fullmatch(rest)
    if clock is None:
        raise BadMoment(f"{show(text)} has a date, but {show(rest.strip())} is not a time of day", WRITE)
    hour = _read_hour(text, int(clock["hour"]), clock["half"])
    try:
        return datetime(
            *day, hour, int(clock["minute"]), int(clock["second"] or 0), tzinfo=_read_offset(clock["offset"])
        )
    except ValueError as error:
        raise BadMoment(f"{show(text)} is not a time: {error}", WRITE) from None


def _read_hour(text: str, hour: int, half: str | None) -> int:
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise BadMoment(f"{show(text)} is not a time: hour {hour} has no {half.upper()}M", WRITE)
    return hour % 12 + 12 * (half.lower() == "p")


def _read_offset(offset: str | None) -> timezone | None:
    if offset is None:
        return None
    if offset[0] not in "+-":
        return UTC
    digits = offset[1:].replace(":", "")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(ahead if offset[0] == "+" else -ahead)
