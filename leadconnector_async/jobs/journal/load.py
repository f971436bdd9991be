"""Taking a plan into the journal: all rows, whatever their number, in flat memory.

Every bad row is counted and, up to a bound, named; with a single one the job does not begin.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from ...exceptions import RowFault
from ..plan.files import build_plan_error, describe_duplicate
from ..plan.rows import PlanRow, explain_no_location
from ..plan.sources import AnyRow, PlanRows, read_any
from ..plan.wanted_change import WantedChange
from ..states import JobOptions
from .facts import set_fact
from .groups import Record
from .protocol import Journal

MOST_NAMED: Final = 1000
"""Bad rows that an error names; the others are counted."""
_LOCATION: Final = "INSERT INTO locations (job, location, rows) VALUES (?, ?, ?)"
_JOB: Final = "UPDATE jobs SET rows = ?, made_at = ?, rate = ? WHERE id = ?"
_DUPLICATES: Final = """
    SELECT later.line, later.event_id, MIN(earlier.line)
    FROM rows AS later JOIN rows AS earlier
    ON earlier.job = later.job AND earlier.location = later.location AND earlier.event_id = later.event_id
        AND earlier.number < later.number
    WHERE later.job = ? AND (later.location, later.event_id) IN (
        SELECT location, event_id FROM rows WHERE job = ? GROUP BY location, event_id HAVING COUNT(*) > 1
    )
    GROUP BY later.number, later.line, later.event_id ORDER BY later.line
"""
_MANY: Final = 2**128
_encode: Final = msgspec.json.Encoder().encode


Load: TypeAlias = Callable[[Iterable[Record]], bool]
"""Adds rows to a journal, and makes them quick to find; returns whether two are about the same event of a location.

Each record has job, location, number, line, event_id and wanted.
"""


class NewJob(Struct, frozen=True, kw_only=True):
    """What a new job is to be, besides its rows."""

    location: str | None
    """Of rows that name none; with `None`, each row must name one."""
    timezone: str | None = None
    """For wall-clock times in rows that were made in Python."""
    options: JobOptions = JobOptions()
    submitted: bool = False
    """It is handed to workers, or to the services of its folder, as soon as it exists."""


def load_job(journal: Journal, load: Load, rows: Iterable[AnyRow], new: NewJob) -> None:
    """Write a job: its plan, and what is known of it. Raises `PlanError`."""
    count = load_plan(journal, load, rows, new.location, new.timezone)
    now = time.time()
    set_fact("options", msgspec.json.encode(new.options).decode(), journal)
    set_fact("location", new.location or "", journal)
    set_fact("made_at", str(now), journal)
    journal.write(_JOB, (count, now, new.options.rate, journal.hold.job))


def load_plan(
    journal: Journal,
    load: Load,
    rows: Iterable[AnyRow],
    default_location: str | None,
    timezone: str | None = None,
) -> int:
    """Write all rows, and check for duplicate events. Returns the number of rows; raises `PlanError`."""
    job = journal.hold.job
    faults = _Faults()
    counter = _Counter()
    if load(_build_records(job, _check_all(rows, timezone), default_location, faults, counter)):
        for fault in _find_duplicates(journal):
            faults.add(fault)
    if faults.count:
        raise build_plan_error(sorted(faults.named, key=lambda fault: fault.line), faults.count)
    if not counter.number:
        raise build_plan_error([RowFault(1, "", "the plan has no rows", "add one below the heading")], 1)
    journal.write_all(_LOCATION, [(job, location, count) for location, count in counter.locations.items()])
    set_fact("plan", f"{counter.digest:032x}", journal)
    return counter.number


class _Duplicate(Struct, frozen=True, array_like=True):
    line: int
    event_id: str
    first: int


class _Faults:
    def __init__(self) -> None:
        self.named: list[RowFault] = []
        self.count = 0

    def add(self, fault: RowFault) -> None:
        self.count += 1
        if self.count <= MOST_NAMED:
            self.named.append(fault)


class _Counter:
    """Rows, and a digest of the whole plan that does not depend on their order."""

    def __init__(self) -> None:
        self.number = 0
        self.digest = 0
        self.locations: Counter[str] = Counter()


def _build_records(
    job: int,
    rows: Iterable[PlanRow | RowFault],
    default_location: str | None,
    faults: _Faults,
    counter: _Counter,
) -> Iterator[Record]:
    for row in rows:
        if isinstance(row, RowFault):
            faults.add(row)
            continue
        location = row.location_id or default_location
        if location is None:
            faults.add(explain_no_location(row.line))
            continue
        wanted = _encode(WantedChange(row.update, row.shift, row.timezone, row.before))
        key = hashlib.blake2b(f"{location}\0{row.event_id}\0".encode() + wanted, digest_size=16).digest()
        counter.number += 1
        counter.locations[location] += 1
        counter.digest = (counter.digest + int.from_bytes(key)) % _MANY
        yield job, location, counter.number, row.line, row.event_id, wanted


def _check_all(rows: Iterable[AnyRow], timezone: str | None) -> Iterator[PlanRow | RowFault]:
    """Rows that were made in Python were not looked at yet."""
    if isinstance(rows, PlanRows):
        return rows
    return (read_any(line, row, timezone) for line, row in enumerate(rows, start=1))


def _find_duplicates(journal: Journal) -> Iterator[RowFault]:
    job = journal.hold.job
    for found in journal.stream(_Duplicate, _DUPLICATES, (job, job)):
        yield describe_duplicate(found.line, found.event_id, found.first)
