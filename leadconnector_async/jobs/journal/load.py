"""Taking a plan into the journal: all rows, whatever their number, in flat memory.

Every bad row is counted and, up to a bound, named; with a single one the job does not begin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from ...exceptions import RowFault
from ..plan.files import PlanRows, build_plan_error, describe_duplicate
from ..plan.rows import PlanRow
from ..plan.sources import AnyRow, read_any
from ..plan.wanted import Wanted
from .database import SQLiteJournal
from .protocol import Journal, Record
from .tables import INDEXES, set_fact

MOST_NAMED: Final = 1000
"""Bad rows that an error names; the others are counted."""
_INSERT: Final = "INSERT INTO rows (number, line, location, event_id, wanted) VALUES (?, ?, ?, ?, ?)"
_DUPLICATES: Final = """
    SELECT later.line, later.event_id, MIN(earlier.line)
    FROM rows AS later JOIN rows AS earlier
    ON earlier.location = later.location AND earlier.event_id = later.event_id AND earlier.number < later.number
    WHERE (later.location, later.event_id) IN (
        SELECT location, event_id FROM rows GROUP BY location, event_id HAVING COUNT(*) > 1
    )
    GROUP BY later.number, later.line, later.event_id ORDER BY later.line
"""
_MANY: Final = 2**128
_encode: Final = msgspec.json.Encoder().encode


def load_plan(
    journal: SQLiteJournal, rows: Iterable[AnyRow], default_location: str, timezone: str | None = None
) -> int:
    """Write all rows, and check for duplicate events. Returns the number of rows; raises `PlanError`."""
    faults = _Faults()
    counter = _Counter()
    with journal.commit():
        journal.write_all(_INSERT, _build_records(_check_all(rows, timezone), default_location, faults, counter))
    journal.script(INDEXES)
    for fault in _find_duplicates(journal):
        faults.add(fault)
    if faults.count:
        raise build_plan_error(sorted(faults.named, key=lambda fault: fault.line), faults.count)
    if not counter.number:
        raise build_plan_error([RowFault(1, "", "the plan has no rows", "add one below the heading")], 1)
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


def _build_records(
    rows: Iterable[PlanRow | RowFault], default_location: str, faults: _Faults, counter: _Counter
) -> Iterator[Record]:
    for row in rows:
        if isinstance(row, RowFault):
            faults.add(row)
            continue
        location = row.location_id or default_location
        wanted = _encode(Wanted(row.update, row.shift, row.timezone, row.before))
        key = hashlib.blake2b(f"{location}\0{row.event_id}\0".encode() + wanted, digest_size=16).digest()
        counter.number += 1
        counter.digest = (counter.digest + int.from_bytes(key)) % _MANY
        yield counter.number, row.line, location, row.event_id, wanted


def _check_all(rows: Iterable[AnyRow], timezone: str | None) -> Iterator[PlanRow | RowFault]:
    """Rows that were made in Python were not looked at yet."""
    if isinstance(rows, PlanRows):
        return rows
    return (read_any(line, row, timezone) for line, row in enumerate(rows, start=1))


def _find_duplicates(journal: Journal) -> Iterator[RowFault]:
    for found in journal.read(_Duplicate, _DUPLICATES):
        yield describe_duplicate(found.line, found.event_id, found.first)
