"""Recurring appointments: rules, instances and instance ids.

A series is one master event with an RRULE (RFC 5545). The id of an instance consists of the master's id, the start
of the instance in epoch milliseconds and its duration in seconds, joined by `_` [doc: Update Appointment]. A rule
never contains DTSTART: the series starts at the master's `startTime`.

A rule is evaluated in the wall-clock time of a zone: a series at 09:00 stays at 09:00 across daylight saving
changes. A start that does not exist or is ambiguous is interpreted as in RFC 5545, section 3.3.5: with the offset
before the gap, or as the first of the two. (Section 3.3.10 requires this in one place, and in another that such
starts are left out.) If two starts thus become one moment, there is one instance. Durations are elapsed time.
Which zone the server uses is not documented; probably the calendar's [guess].
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from ._validation.arguments import refuse
from ._validation.moments import NAME_AN_INSTANT, BadMoment, check_moment, check_name
from ._validation.rrule import Rule, find_rule_fault, iterate_walls, read_rule
from ._validation.settings import to_text
from .exceptions import InvalidRequestError

__all__ = [
    "Instance",
    "InstanceId",
    "build_instance_id",
    "expand_series",
    "find_master_id",
    "find_next_instance",
    "find_rule_fault",
    "parse_instance_id",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LONGEST: Final = timedelta(seconds=999_999_999)
_LAST_YEAR: Final = 2999
_MOST_INSTANCES: Final = 2**31
"""More instances than any rule has in the years that are searched."""
_INSTANCE_ID: Final = re.compile(r"(?P<master>[^_/]+)_(?P<start>\d{1,15})_(?P<length>\d{1,9})\Z", re.ASCII)
_MOMENT_HINT: Final = "give an aware datetime such as datetime(2026, 3, 2, 9, tzinfo=ZoneInfo('Europe/Berlin'))"


class InstanceId(Struct, frozen=True):
    """The parts of an instance id such as `ocQHyuzHvysMo5N5VsXc_1729821600000_1800` [doc]."""

    master_event_id: str
    """Id of the event with the rule."""
    start: datetime
    """Start of the instance, aware, in UTC."""
    length: timedelta
    """Duration of the instance."""

    def __str__(self) -> str:
        return f"{self.master_event_id}_{(self.start - _EPOCH) // _MILLISECOND}_{self.length // _SECOND}"


class Instance(Struct, frozen=True):
    """One appointment of a series.

    Compare its times with times of other zones in UTC: in Python an ambiguous time is never equal to one of
    another zone.
    """

    id: str
    """The instance id, for `update_appointment` and `get_appointment`."""
    start: datetime
    """When it starts, aware, in the zone of the series."""
    end: datetime
    """When it ends, aware, in the zone of the series."""


def parse_instance_id(event_id: str) -> InstanceId | None:
    """Split an instance id into its parts; `None` for a plain event id.

    `event_id` is any id of an event.

    Raises `InvalidRequestError` if it is not a string.
    """
    match = _INSTANCE_ID.match(_check_event_id(event_id))
    if match is None:
        return None
    try:
        start = _EPOCH + timedelta(milliseconds=int(match["start"]))
    except OverflowError:
        return None
    return InstanceId(match["master"], start, timedelta(seconds=int(match["length"])))


def build_instance_id(master_event_id: str, start: datetime, length: timedelta) -> str:
    """Build an instance id; the inverse of `parse_instance_id` [doc].

    `master_event_id` is the id of the event with the rule. `start` is aware and in whole milliseconds, `length`
    positive and in whole seconds; otherwise raises `InvalidRequestError`.
    """
    master_event_id = _check_master_id(master_event_id)
    start = _check_moment("start", start)
    if start < _EPOCH:
        raise _refuse("start", start, "it is before 1970", "give a start that an instance can have")
    if start.microsecond % 1000:
        raise _refuse("start", start, "it is not in whole milliseconds", "use .replace(microsecond=0)")
    if not isinstance(length, timedelta) or not timedelta(0) < length <= _LONGEST or length % _SECOND:
        raise _refuse(
            "length", length, "it is not a positive number of whole seconds", "give timedelta(minutes=30)"
        )
    return str(InstanceId(master_event_id, start, timedelta(length.days, length.seconds)))


def find_master_id(event_id: str) -> str:
    """Return the master's id for the id of an instance, and any other id unchanged.

    `event_id` is any id of an event.
    """
    instance = parse_instance_id(event_id)
    return _check_event_id(event_id) if instance is None else instance.master_event_id


def expand_series(
    master_event_id: str,
    rrule: str,
    start: datetime,
    end: datetime,
    *,
    zone: str | ZoneInfo,
    after: datetime | None = None,
    before: datetime | None = None,
    limit: int | None = None,
) -> Iterator[Instance]:
    """Yield the instances of a series in order, computed one at a time.

    `master_event_id` is the id of the event with the rule, and `rrule` the rule, as in `Appointment.rrule`. `start`
    and `end` are the master's, aware, in whole seconds, from 1970 to 2999; `zone` is the IANA name of the zone in
    which the rule is evaluated. Only instances that start later than `after` and earlier than `before` are yielded,
    at most `limit` of them. COUNT counts every start of the rule, including those that are left out; `start` itself
    is an instance only if it matches the rule. A rule without an end is followed for at least 200 years, so pass a
    bound or stop iterating.

    Raises `InvalidRequestError` for invalid arguments when called, not when iterated. The exception is `EST` and
    `MST`, which have no daylight saving time: they raise at the first instance in summer. Source: RFC 5545,
    sections 3.3.5, 3.3.10 and 3.8.5.
    """
    rule = _read_rule(rrule)
    place = _read_zone(zone)
    master_event_id = _check_master_id(master_event_id)
    start, end = _check_bounds(start, end)
    after = None if after is None else _check_moment("after", after)
    before = None if before is None else _check_moment("before", before)
    if limit is not None and (type(limit) is not int or limit < 1):
        raise _refuse("limit", limit, "it is not a positive number", "give the maximum number of instances")
    limit = None if limit is None else min(limit, _MOST_INSTANCES)
    _check_summer(place, start, *(moment for moment in (after, before) if moment is not None))
    starts = _list_starts(rule, start.astimezone(UTC), place, after, before)
    length = end - start.astimezone(UTC)
    return (_build_instance(master_event_id, moment, length, place) for moment in islice(starts, limit))


def find_next_instance(
    master_event_id: str,
    rrule: str,
    start: datetime,
    end: datetime,
    *,
    zone: str | ZoneInfo,
    after: datetime,
) -> Instance | None:
    """Return the first instance that starts later than `after`; `None` if there is none.

    `master_event_id`, `rrule`, `start`, `end` and `zone`, and the errors, are those of `expand_series`.
    """
    return next(expand_series(master_event_id, rrule, start, end, zone=zone, after=after, limit=1), None)


def _check_summer(zone: ZoneInfo, *moments: datetime) -> None:
    """Reject `EST` and `MST` in summer: a zone without daylight saving time is rarely meant then."""
    for moment in moments:
        try:
            check_name(zone.key or "", moment)
        except BadMoment as bad:
            raise _refuse("zone", zone.key, bad.reason, bad.hint) from None


def _build_instance(master_event_id: str, start: datetime, length: timedelta, zone: ZoneInfo) -> Instance:
    _check_summer(zone, start)
    name = str(InstanceId(master_event_id, start, length))
    return Instance(name, start.astimezone(zone), (start + length).astimezone(zone))


def _list_starts(
    rule: Rule, start: datetime, zone: ZoneInfo, after: datetime | None, before: datetime | None
) -> Iterator[datetime]:
    """The starts in UTC, without those that UNTIL, EXDATE or the caller excludes."""
    until = None if rule.until is None else _to_utc(rule.until, zone)
    excluded = {_to_utc(exdate, zone) for exdate in rule.exdates}
    for moment in _order(rule, start, zone):
        if (until is not None and moment > until) or (before is not None and moment >= before):
            return
        if moment >= start and moment not in excluded and (after is None or moment > after):
            yield moment


def _order(rule: Rule, start: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The starts in UTC, in order and without duplicates.

    A start in a gap is later than its wall-clock time, so starts that follow in the rule can precede it or
    coincide with it. It is held back until `floor`, which no later start can precede, has passed it.
    """
    first = start.astimezone(zone).replace(tzinfo=None)
    waiting: list[datetime] = []
    last: datetime | None = None
    for wall in iterate_walls(rule, first):
        moment = start if wall == first else _to_utc(wall, zone)
        floor = min(moment, _to_utc(wall.replace(fold=1), zone))
        heappush(waiting, moment)
        while waiting and waiting[0] <= floor:
            if last != (last := heappop(waiting)):
                yield last
    yield from sorted(waiting)


def _to_utc(wall: datetime, zone: ZoneInfo) -> datetime:
    """Convert a wall-clock time of the zone, or an aware datetime, to UTC."""
    try:
        return (wall if wall.tzinfo else wall.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        # An UNTIL such as 99991231T235959: at the ends of the calendar an offset makes no difference.
        return wall.replace(tzinfo=UTC)


def _read_rule(rrule: str) -> Rule:
    hint = "give an RFC 5545 rule such as 'RRULE:FREQ=DAILY;COUNT=5'"
    text = to_text(rrule)
    if text is None:
        raise _refuse("rrule", rrule, f"it is a {type(rrule).__name__}, not text", hint)
    try:
        return read_rule(text)
    except ValueError as error:
        raise _refuse("rrule", rrule, str(error), hint) from None


def _read_zone(zone: str | ZoneInfo) -> ZoneInfo:
    if isinstance(zone, ZoneInfo):
        return zone
    hint = "give an IANA name such as 'America/New_York'"
    text = to_text(zone)
    if text is None:
        raise _refuse("zone", zone, f"it is a {type(zone).__name__}, not a name", hint)
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise _refuse("zone", zone, "it is not a known zone", hint) from None


def _check_event_id(value: object) -> str:
    text = to_text(value)
    if text is None:
        reason = f"it is a {type(value).__name__}, not text"
        raise _refuse("event_id", value, reason, "give the id as the API shows it")
    return text


def _check_master_id(master_event_id: str) -> str:
    text = to_text(master_event_id)
    if text is None or not re.fullmatch(r"[^_/]+", text):
        hint = "give the id of the event with the rule; find_master_id returns it"
        raise _refuse("master_event_id", master_event_id, "it is empty, or contains '_' or '/'", hint)
    return text


def _check_bounds(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    start, end = _check_moment("start", start), _check_moment("end", end)
    for name, moment in (("start", start), ("end", end)):
        if moment.microsecond:
            raise _refuse(name, moment, "the server refuses fractions of a second", "use .replace(microsecond=0)")
    if start < _EPOCH or start.year > _LAST_YEAR:
        raise _refuse("start", start, f"it is not from 1970 to {_LAST_YEAR}", "give the start of the master")
    if not timedelta(0) < end - start.astimezone(UTC) <= _LONGEST:
        raise _refuse(
            "end", end, f"it is not after start ({start}), or too long after it", "move it later than start"
        )
    return start, end


def _check_moment(field: str, moment: object) -> datetime:
    """Check a time. One in a gap is allowed here: RFC 5545 defines it."""
    if not isinstance(moment, datetime):
        raise _refuse(field, moment, f"it is a {type(moment).__name__}, not a datetime", _MOMENT_HINT)
    try:
        return check_moment(moment, may_be_skipped=True)
    except BadMoment as bad:
        hint = _MOMENT_HINT if bad.hint == NAME_AN_INSTANT else bad.hint
        raise _refuse(field, moment, bad.reason, hint) from None


def _refuse(field: str, value: object, reason: str, hint: str) -> InvalidRequestError:
    return refuse(field, value, reason, hint, "")
