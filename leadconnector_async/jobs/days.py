"""Appointments by day, before a job and after it.

Rule: a day is one of the calendar's own clock, as the server showed the appointment, and not one of UTC: an evening
in Los Angeles is no morning of the day after.

Knows the journal. Must not know how figures are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from msgspec import Struct

from .journal import Journal

_MOST_BARS: Final = 45
_EPOCH: Final = date(1970, 1, 1)
_MOVES: Final = """
    SELECT CAST((start_before + offset) / 86400 AS INTEGER) AS day_before,
        CAST((start_now + offset) / 86400 AS INTEGER) AS day_now, COUNT(*)
    FROM (
        SELECT start_before, CASE state WHEN 'applied' THEN start_after ELSE start_before END AS start_now,
            COALESCE(strftime('%s', substr(found, instr(found, ?) + ?, 19)) - start_before, 0) AS offset
        FROM rows WHERE parks IS NULL AND start_before IS NOT NULL AND start_after IS NOT NULL LIMIT -1
    )
    GROUP BY day_before, day_now
"""
"""The limit has the offset computed once for each row."""
_START: Final = b'"startTime":"'
"""Where the journal keeps the time as the server showed it; a quotation mark inside of a text has a stroke."""


class Days(Struct, frozen=True):
    """Appointments in steps of a day, a week, a month or a year."""

    step: str
    """What a step is, in a word."""
    begins: Sequence[date]
    before: Sequence[int]
    after: Sequence[int]


def count_days(journal: Journal) -> Days | None:
    """Rows whose change was planned, where they were and where they are now. `None` if there are none."""
    before: Counter[date] = Counter()
    after: Counter[date] = Counter()
    for day_before, day_now, count in journal.read(_MOVES, (_START, len(_START))):
        before[_EPOCH + timedelta(days=int(str(day_before)))] += int(str(count))
        after[_EPOCH + timedelta(days=int(str(day_now)))] += int(str(count))
    if not before:
        return None
    known = sorted({*before, *after})
    for step, floor, advance in _STEPS:
        begins = _list_steps(known[0], known[-1], floor, advance)
        if len(begins) <= _MOST_BARS or step == "year":
            return Days(step, begins, _gather(before, begins, floor), _gather(after, begins, floor))
    return None


def _list_steps(
    first: date, last: date, floor: Callable[[date], date], advance: Callable[[date], date]
) -> list[date]:
    begins = [floor(first)]
    while (following := advance(begins[-1])) <= last:
        begins.append(following)
    return begins


def _gather(days: Mapping[date, int], begins: Sequence[date], floor: Callable[[date], date]) -> list[int]:
    gathered = dict.fromkeys(begins, 0)
    for day, count in days.items():
        gathered[floor(day)] += count
    return list(gathered.values())


def _begin_week(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _begin_month(day: date) -> date:
    return day.replace(day=1)


def _begin_year(day: date) -> date:
    return day.replace(month=1, day=1)


_STEPS: Final[tuple[tuple[str, Callable[[date], date], Callable[[date], date]], ...]] = (
    ("day", lambda day: day, lambda day: day + timedelta(days=1)),
    ("week", _begin_week, lambda day: day + timedelta(days=7)),
    ("month", _begin_month, lambda day: _begin_month(day + timedelta(days=31))),
    ("year", _begin_year, lambda day: _begin_year(day + timedelta(days=366))),
)
