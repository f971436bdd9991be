"""Named facts about a job, and structs for the rows of small queries."""

from __future__ import annotations

from msgspec import Struct

from ..._validation.text import escape
from ...exceptions import ConfigurationError, JobNotFoundError
from .protocol import Journal


class Count(Struct, frozen=True, array_like=True):
    """A row with one number."""

    number: int


class Text(Struct, frozen=True, array_like=True):
    """A row with one text."""

    text: str


class LocationCount(Struct, frozen=True, array_like=True):
    """A row with a location and a number."""

    location: str
    number: int


def set_fact(name: str, value: str, journal: Journal) -> None:
    """Store a fact about the job."""
    journal.write(
        "INSERT INTO facts (job, name, value) VALUES (?, ?, ?)"
        " ON CONFLICT (job, name) DO UPDATE SET value = excluded.value",
        (journal.hold.job, name, value),
    )


def get_fact(name: str, journal: Journal) -> str | None:
    """Return a fact about the job; `None` if it is not stored."""
    query = "SELECT value FROM facts WHERE job = ? AND name = ?"
    found = journal.read_one(Text, query, (journal.hold.job, name))
    return None if found is None else found.text


def describe_removed() -> JobNotFoundError:
    """Explain why the journal, which was open already, holds nothing of the job any more."""
    return JobNotFoundError("The job was purged or discarded by another process in the meantime.")


def check_location(name: str, location: str, journal: Journal) -> None:
    """Raise `ConfigurationError` if the job belongs to the client of another location."""
    kept = get_fact("location", journal)
    if kept != location:
        raise ConfigurationError(
            f"The job in {escape(name)} is for location {kept!r}, and the client for {location!r}."
        )
