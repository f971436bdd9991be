"""What a reschedule is asked to change: an update, arguments, or both, as one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import cast

from msgspec import UNSET, Struct

from .._api.convert import KEEP_ONE, name_fields, to_payload
from .._api.fields import TIMES
from .._api.validate import parse_time
from ..inputs import Payload
from ..models import AppointmentUpdate
from .plan import Changes, refuse_change


class RequestedChange(Struct, frozen=True):
    """Checked as far as that can be done without the appointment."""

    start_time: datetime | None
    end_time: datetime | None
    shift: timedelta | None
    changes: Changes
    """All other fields."""


def collect_requested(
    update: Payload[AppointmentUpdate] | None,
    start_time: datetime | None,
    end_time: datetime | None,
    shift: timedelta | None,
    changes: Mapping[str, object],
) -> RequestedChange:
    """Merge them. Raises `InvalidRequestError` for a field that is given twice, and for a rule.

    A time that is `None` stays as it is.
    """
    given = name_fields(changes.items(), AppointmentUpdate)
    times = zip(TIMES, (start_time, end_time), strict=True)
    given |= {name: value for name, value in times if value is not None}
    for name, value in _list_fields(update).items():
        if name in given:
            raise refuse_change(name, value, f"{name} is given twice", KEEP_ONE)
        given[name] = value
    if "rrule" in given:
        hint = "use update_appointment"
        raise refuse_change("rrule", given["rrule"], "a reschedule does not change the rule of a series", hint)
    start, end = (_read_time(name, given.pop(name, None)) for name in TIMES)
    return RequestedChange(start, end, shift, cast("Changes", given))


def _list_fields(update: Payload[AppointmentUpdate] | None) -> dict[str, object]:
    if update is None:
        return {}
    payload = to_payload(update, AppointmentUpdate)
    return {name: value for name in payload.__struct_fields__ if (value := getattr(payload, name)) is not UNSET}


def _read_time(name: str, value: object) -> datetime | None:
    """Texts are read here; `check_times` says what is wrong with anything else."""
    return parse_time(name, value) if isinstance(value, str) else cast("datetime | None", value)
