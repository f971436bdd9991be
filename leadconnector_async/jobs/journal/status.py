"""Where a job stands, by its journal alone: also while another process works on it.

Nothing is written, and nobody is kept out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec import Struct

from ..._validation.settings import check_path
from ..states import JobSummary, RowState
from .counts import count_by_location, find_last_change, summarize
from .database import JOURNAL, SQLiteJournal


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
    journal = SQLiteJournal.open_to_read(os.path.join(check_path("folder", folder), JOURNAL))
    try:
        return JobStatus(
            summary=summarize(journal),
            by_location=count_by_location(journal),
            last_change=find_last_change(journal),
        )
    finally:
        journal.close()
