"""All files that a job leaves for people, at the end of a run.

Rule: what cannot be written is said as a failure of the journal's folder; the journal itself is complete by then.

Knows the outcome files and the report. Must not import the client.
"""

from __future__ import annotations

import os

from .._shown import escape
from ..exceptions import JournalError
from .journal import Journal
from .outcomes import write_outcomes
from .report import write_report
from .states import JobSummary

REPORT = "report.html"


def write_files(folder: str, summary: JobSummary, journal: Journal) -> None:
    """Write them anew. Raises `JournalError`."""
    try:
        write_outcomes(journal, folder, summary)
        write_report(journal, os.path.join(folder, REPORT), summary)
    except OSError as error:
        text = f"The files in {escape(folder)} could not be written ({error.strerror}). The journal is complete."
        raise JournalError(text) from error
