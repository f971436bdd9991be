"""Recurring appointments: rules and instance ids.

A series is one master event with an RRULE (RFC 5545). HighLevel names one instance of it by the master's id,
the start of the instance in epoch milliseconds and its length in seconds, joined by `_`
[doc: Update Appointment]. A rule never carries DTSTART: the series starts at the master's `startTime`.

Pure: no input or output, no clock. Must not import anything of the package.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from dateutil.rrule import rrulestr
from msgspec import Struct

_ANCHOR = datetime(2021, 1, 4, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANCE_ID = re.compile(r"(?P<master>[^_/]+)_(?P<start>\d{1,15})_(?P<length>\d{1,9})\Z")


class InstanceId(Struct, frozen=True):
    """The parts of an instance id such as `ocQHyuzHvysMo5N5VsXc_1729821600000_1800` [doc]."""

    master_event_id: str
    """Id of the event that carries the rule."""
    start: datetime
    """Start of the instance, aware, in UTC."""
    length: timedelta
    """Length of the instance."""

    def __str__(self) -> str:
        milliseconds = (self.start - _EPOCH) // timedelta(milliseconds=1)
        return f"{self.master_event_id}_{milliseconds}_{self.length // timedelta(seconds=1)}"


def parse_instance_id(event_id: str) -> InstanceId | None:
    """Take an instance id apart; `None` if `event_id` is a plain event id."""
    match = _INSTANCE_ID.match(event_id)
    if match is None:
        return None
    start = _EPOCH + timedelta(milliseconds=int(match["start"]))
    return InstanceId(match["master"], start, timedelta(seconds=int(match["length"])))


@lru_cache(maxsize=256)
def find_rule_fault(rule: str) -> str | None:
    """Say what is wrong with an RRULE text, or `None` if the server can use it.

    `rule` is `RRULE:…`, optionally followed by a newline and `EXDATE:…` [doc]. Validity is decided by
    python-dateutil's reading of RFC 5545.
    """
    if not rule.upper().startswith("RRULE:"):
        return "it must begin with 'RRULE:'"
    if "DTSTART" in rule.upper():
        return "it must not carry DTSTART: the series starts at start_time"
    try:
        rrulestr(rule, dtstart=_ANCHOR, forceset=True)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        return f"it is not valid by RFC 5545 ({error})"
    return None
