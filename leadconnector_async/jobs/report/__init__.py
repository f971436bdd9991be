"""What a job leaves for people: outcome files and an HTML report."""

from __future__ import annotations

import os

from ..._validation.text import escape
from ...exceptions import JournalError
from ..journal.protocol import Journal
from ..states import JobSummary
from .html_report import write_report
from .outcomes import write_outcomes

REPORT = "report.html"


def write_files(folder: str, summary: JobSummary, journal: Journal) -> None:
    """Write them anew. Raises `JournalError`."""
    try:
        write_outcomes(journal, folder, summary)
        write_report(journal, os.path.join(folder, REPORT), summary)
    except OSError as error:
        text = f"The files in {escape(folder)} could not be written ({error.strerror}). The journal is complete."
        raise JournalError(text) from error
