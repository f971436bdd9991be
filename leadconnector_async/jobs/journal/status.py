"""The state of a job, read from its journal without writing or locking: also while another process runs it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec import Struct

from ..._validation.settings import check_path
from ..states import JobSummary, RowState
from .counts import count_by_location, find_last_change, summarize
from .database import JOURNAL, SQLiteJournal


class JobStatus(Struct, frozen=True, kw_only=True):
    """The state of a job."""

    summary: JobSummary
    by_location: Mapping[str, Mapping[RowState, int]]
    last_change: float | None
    """When the last row got its outcome, in seconds since the epoch; `None` if none has.

    Rows in state `sent` have no response yet, and may have been applied.
    """


def read_status(folder: str | os.PathLike[str]) -> JobStatus:
    """Read the state of the job in a folder. Raises `JournalError` if there is none."""
    journal = SQLiteJournal.open_to_read(os.path.join(check_path("folder", folder), JOURNAL))
    try:
        return JobStatus(
            summary=summarize(journal),
            by_location=count_by_location(journal),
            last_change=find_last_change(journal),
        )
    finally:
        journal.close()
