"""Where a job stands, by its journal alone: also while another process works on it.

Nothing is written, and nobody is kept out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from ..._validation.settings import check_path
from ..states import JobSummary, RowState
from . import rows
from .database import JOURNAL, Journal

_BY_LOCATION: Final = """
    SELECT location, state, COUNT(*) FROM rows NOT INDEXED
    WHERE parks IS NULL GROUP BY location, state ORDER BY location
"""


class JobStatus(Struct, frozen=True, kw_only=True):
    """Where a job stands."""

    summary: JobSummary
    by_location: Mapping[str, Mapping[RowState, int]]
    last_change: float | None
    """When the last change was answered, or given up as unknown, in seconds since the epoch; `None`: none was.

    Rows that are `sent` have no answer yet, and may have been changed.
    """


def read_status(folder: str | os.PathLike[str]) -> JobStatus:
    """Read where the job in a folder stands. Raises `JournalError` if there is none."""
    journal = Journal.open(os.path.join(check_path("folder", folder), JOURNAL))
    try:
        last = journal.read_one("SELECT MAX(done_at) FROM rows WHERE state IN ('applied', 'unknown')")
        return JobStatus(
            summary=summarize(journal),
            by_location=count_by_location(journal),
            last_change=None if last is None or last[0] is None else float(str(last[0])),
        )
    finally:
        journal.close()


def summarize(journal: Journal) -> JobSummary:
    """The figures of a job."""
    return JobSummary(
        counts=rows.count_states(journal),
        repeated=journal.count("repeated = 1 AND parks IS NULL"),
    )


def count_by_location(journal: Journal) -> dict[str, dict[RowState, int]]:
    """Rows in each state, location by location."""
    found: dict[str, dict[RowState, int]] = {}
    for location, state, count in journal.read(_BY_LOCATION):
        found.setdefault(str(location), {})[msgspec.convert(state, RowState)] = int(str(count))
    return found
