"""Recurrence rules: RRULE and EXDATE parsed, checked, and evaluated in wall-clock time.

dateutil gets neither zones nor the end of a series: its releases differ in how they treat a time in a daylight
saving gap, and it checks UNTIL only once it has found a date. So `recurrence` handles both.

dateutil also searches for the next date up to the year 9999: for 30 February, 8,000 years. The calendar repeats
every 400 years, including the day of the week, so a rule is evaluated in the last such cycle and its dates are
shifted back. That ends every search after 200 to 600 years.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from dateutil.rrule import rrulestr
from msgspec import Struct

from .settings import to_text
from .text import escape, shorten, show

_ANCHOR: Final = datetime(9600, 1, 1)
"""The start of the last whole cycle of 400 years."""
_CYCLE: Final = timedelta(days=146_097)
_LAST_YEAR: Final = 9799
"""The latest year that a series is moved to: 200 years before the last that a datetime knows."""
_UNFIT: Final = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
"""What dateutil raises for a rule that it cannot use."""
_MOMENT: Final = re.compile(r"\d{8}T\d{6}Z?\Z", re.ASCII)
_DATE: Final = re.compile(r"\d{8}\Z", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d{1,9}\Z", re.ASCII)
_WITHIN_A_DAY: Final = frozenset({"HOURLY", "MINUTELY", "SECONDLY"})
_PARTS: Final = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY"})
_RANGES: Final = {
    "BYSECOND": range(61),
    "BYMINUTE": range(60),
    "BYHOUR": range(24),
    "BYMONTHDAY": range(1, 32),
    "BYYEARDAY": range(1, 367),
    "BYWEEKNO": range(1, 54),
    "BYMONTH": range(1, 13),
    "BYSETPOS": range(1, 367),
}
_COUNTED_FROM_THE_END: Final = frozenset({"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS"})


class Rule(Struct, frozen=True):
    """A parsed rule. Times are UTC if aware, and wall-clock time if naive."""

    parts: dict[str, str]
    """The parts of the RRULE except UNTIL, in upper case."""
    until: datetime | None
    """The latest possible start."""
    exdates: tuple[datetime, ...]
    """Excluded starts."""


def find_rule_fault(rule: str) -> str | None:
    """Return what is wrong with a rule; `None` if the server can use it.

    `rule` is `RRULE:…`, optionally followed by a newline and `EXDATE:…` [doc]. Source: RFC 5545, section 3.3.10, as
    python-dateutil implements it.
    """
    text = to_text(rule)
    if text is None:
        return f"it is a {type(rule).__name__}, not text"
    try:
        read_rule(text)
    except ValueError as error:
        return str(error)
    return None


@lru_cache(maxsize=256)
def read_rule(rule: str) -> Rule:
    """Parse a rule; `ValueError` says what is wrong with it."""
    if not rule.upper().startswith("RRULE:"):
        raise ValueError("it must begin with 'RRULE:'")
    if "DTSTART" in rule.upper():
        raise ValueError("it must not contain DTSTART: the series starts at start_time")
    try:
        head, *rest = rule.upper().split()
        parts = _read_parts(head.removeprefix("RRULE:"))
        until = parts.pop("UNTIL", None)
        # Whether INTERVAL ever meets BYHOUR hangs on the start, which is not known here.
        rrulestr(_write({**parts, "INTERVAL": "1"}), dtstart=_ANCHOR)
        return Rule(parts, None if until is None else _read_until(until), tuple(_read_exdates(rest)))
    except _UNFIT as error:
        raise ValueError(f"it is not valid in RFC 5545 ({shorten(escape(str(error)), 200)})") from None


def iterate_walls(rule: Rule, first: datetime) -> Iterator[datetime]:
    """Yield the starts in naive wall-clock time, in order; `first` is the naive start of the series.

    UNTIL and EXDATE are not applied. An endless rule ends after 200 to 600 years.
    """
    if not _has_day(rule):
        return
    shift = _CYCLE * ((_LAST_YEAR - first.year) // 400)
    try:
        for moved in rrulestr(_write(rule.parts), dtstart=first + shift):
            yield moved - shift
    except (ValueError, OverflowError):
        # The end of the calendar, or an INTERVAL that never meets its BYHOUR: nothing more will come.
        return


def _has_day(rule: Rule) -> bool:
    """Whether an hourly, minutely or secondly rule matches any day: finding out step by step would be too slow."""
    if rule.parts["FREQ"] not in _WITHIN_A_DAY:
        return True
    parts = {name: rule.parts[name] for name in rule.parts if name in _RANGES or name == "BYDAY"}
    days = {
        name: value for name, value in parts.items() if name not in {"BYHOUR", "BYMINUTE", "BYSECOND", "BYSETPOS"}
    }
    return any(True for _ in rrulestr(_write({"FREQ": "DAILY", **days, "COUNT": "1"}), dtstart=_ANCHOR))


def _read_parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for pair in text.split(";"):
        name, _, value = pair.partition("=")
        if name in parts:
            raise ValueError(f"{name} occurs twice")
        _check_part(name, value)
        parts[name] = value
    if "FREQ" not in parts:
        raise ValueError("it has no FREQ")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("COUNT and UNTIL cannot be combined")
    _check_positions(parts)
    return parts


def _check_part(name: str, value: str) -> None:
    if name in {"INTERVAL", "COUNT"} and (not _NUMBER.match(value) or int(value) < 1):
        raise ValueError(f"{name} is not a positive number: {value!r}")
    if name in _RANGES:
        _check_numbers(name, value)
    elif name not in _PARTS:
        raise ValueError(f"{name!r} is not a part of a rule")


def _check_numbers(name: str, value: str) -> None:
    for text in value.split(","):
        if not _NUMBER.match(text):
            raise ValueError(f"{name} is not a list of numbers: {value!r}")
        number = abs(int(text)) if name in _COUNTED_FROM_THE_END else int(text)
        if number not in _RANGES[name]:
            raise ValueError(f"{name} is out of range: {text}")


def _check_positions(parts: dict[str, str]) -> None:
    """Reject a BYSETPOS that no hour, minute or second can reach: dateutil would search forever."""
    if parts["FREQ"] not in _WITHIN_A_DAY or "BYSETPOS" not in parts:
        return
    inner = {"HOURLY": ("BYMINUTE", "BYSECOND"), "MINUTELY": ("BYSECOND",)}.get(parts["FREQ"], ())
    size = 1
    for name in inner:
        size *= len(set(parts.get(name, "0").split(",")))
    if all(abs(int(position)) > size for position in parts["BYSETPOS"].split(",")):
        raise ValueError(f"BYSETPOS is beyond the {size} starts of each period")


def _write(parts: dict[str, str]) -> str:
    return "RRULE:" + ";".join(f"{name}={value}" for name, value in parts.items())


def _read_until(text: str) -> datetime:
    """A date alone means midnight at its beginning, as in dateutil."""
    if _DATE.match(text):
        return datetime.fromisoformat(text)
    if not _MOMENT.match(text):
        raise ValueError(f"UNTIL is not a time such as 20210623T043000Z: {show(text)}")
    return datetime.fromisoformat(text)


def _read_exdates(lines: list[str]) -> Iterator[datetime]:
    for line in lines:
        if not line.startswith("EXDATE:"):
            raise ValueError(f"only EXDATE may follow the rule, in UTC and without parameters: {show(line)}")
        for text in line.removeprefix("EXDATE:").split(","):
            if not _MOMENT.match(text):
                raise ValueError(f"EXDATE is not a time such as 20211105T040000Z: {show(text)}")
            yield datetime.fromisoformat(text)
