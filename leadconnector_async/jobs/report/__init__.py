"""What a job leaves for people: outcome files and an HTML report."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import msgspec

from ..._validation.text import escape
from ...exceptions import ConfigurationError, JournalError
from ..journal.facts import get_fact
from ..journal.folder import OUTCOMES, REPORT, SUMMARY
from ..journal.protocol import Journal
from ..states import JobSummary
from .html_report import write_report
from .outcomes import write_outcomes


class _Written(msgspec.Struct):
    """What a summary says about its job."""

    plan: str | None = None


def write_files(folder: str, title: str, summary: JobSummary, journal: Journal) -> None:
    """Write them anew. Raises `JournalError`."""
    with _explain(f"The files in {escape(folder)}"):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        write_outcomes(journal, folder, summary)
        write_report(journal, os.path.join(folder, REPORT), title, summary)


def write_html(path: str, title: str, summary: JobSummary, journal: Journal) -> None:
    """Write the report alone. Raises `JournalError`."""
    with _explain(escape(path)):
        write_report(journal, path, title, summary)


def check_folder(folder: str, journal: Journal) -> None:
    """Raise `ConfigurationError` if files would be overwritten that this job has not written."""
    found = next((name for name in OUTCOMES if os.path.exists(os.path.join(folder, name))), None)
    if found is not None and _read_plan(os.path.join(folder, SUMMARY)) != get_fact("plan", journal):
        text = f"{escape(folder)} contains a file {found}, which the job would overwrite: choose another folder."
        raise ConfigurationError(text)


def _read_plan(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=_Written).plan
    except (OSError, msgspec.DecodeError):
        return None


@contextmanager
def _explain(what: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        text = f"{what} could not be written ({error.strerror}). The journal is complete."
        raise JournalError(text) from error
