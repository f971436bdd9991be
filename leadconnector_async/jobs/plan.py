"""A plan: which appointments change, and to what, as rows of a CSV file.

Rule: every bad row is named, with its line, its column and how to mend it, before the first request is made.
An empty cell means "leave as it is".

Pure. Knows models, checks and exceptions; must not import the client.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, structs

from .._checks import check_update
from ..exceptions import InvalidRequestError
from ..models import AppointmentUpdate

_FIELDS: Final = frozenset(AppointmentUpdate.__struct_fields__)
_BOOLEANS: Final = frozenset(
    {"override_location_config", "ignore_date_range", "to_notify", "ignore_free_slot_validation"}
)
_TIMES: Final = ("start_time", "end_time")
_TRUTH: Final = {"true": True, "false": False}


class PlanRow(Struct, frozen=True):
    """One row that was checked."""

    line: int
    """Line of the file on which the row ends, the header being line 1."""
    event_id: str
    update: AppointmentUpdate


def read_plan(lines: Iterable[str]) -> list[PlanRow]:
    """Read a CSV plan and check all of it.

    Columns are `event_id`, any field of `AppointmentUpdate`, and `timezone`: an IANA name for times that carry no
    offset. Raises `InvalidRequestError` that names every bad row.
    """
    reader = csv.DictReader(lines)
    faults = _check_header(reader.fieldnames or [])
    rows: list[PlanRow] = []
    seen: dict[str, int] = {}
    for cells in reader if not faults else ():
        try:
            row = _read_row(reader.line_num, cells)
            if row.event_id in seen:
                raise ValueError(f"event_id: {row.event_id} stands in line {seen[row.event_id]} already")  # noqa: TRY301
        except ValueError as error:
            faults.append(f"line {reader.line_num}: {error}")
        else:
            seen[row.event_id] = row.line
            rows.append(row)
    if faults:
        raise InvalidRequestError(f"The plan has {len(faults)} bad rows:\n" + "\n".join(faults))
    return rows


def _check_header(names: Iterable[str]) -> list[str]:
    columns = set(names)
    faults = [] if "event_id" in columns else ["line 1: there is no column event_id"]
    unknown = sorted(columns - _FIELDS - {"event_id", "timezone"})
    return faults + [f"line 1: unknown column {name}; use a field of AppointmentUpdate" for name in unknown]


def _read_row(line: int, cells: Mapping[str, str | None]) -> PlanRow:
    if None in cells:
        raise ValueError("there are more cells than columns")
    filled = {name: text.strip() for name, text in cells.items() if text is not None and text.strip()}
    event_id = filled.pop("event_id", "")
    if not event_id:
        raise ValueError("event_id: it is empty")
    zone = filled.pop("timezone", None)
    values = {name: _read_cell(name, text, zone) for name, text in filled.items()}
    update = structs.replace(AppointmentUpdate(), **values)
    check_update(update)
    return PlanRow(line, event_id, update)


def _read_cell(name: str, text: str, zone: str | None) -> object:
    if name in _BOOLEANS:
        if text.lower() not in _TRUTH:
            raise ValueError(f"{name}: {text!r} is neither true nor false")
        return _TRUTH[text.lower()]
    if name in _TIMES and zone is not None:
        return _place(name, text, zone)
    return text


def _place(name: str, text: str, zone: str) -> datetime | str:
    """Give a wall-clock time the offset of its zone; a time that the clock skips or shows twice is an error."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        return text
    try:
        local = moment.replace(tzinfo=ZoneInfo(zone))
    except (KeyError, OSError):
        raise ValueError(f"timezone: {zone!r} is not an IANA time zone such as America/New_York") from None
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        exists = local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) == moment
        kind = "stands twice on the clock" if exists else "does not exist"
        raise ValueError(f"{name}: {text} {kind} in {zone}; write it with an offset")
    return local
