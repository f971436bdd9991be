"""What names a job: folders and URLs, what is shown of them, and what is refused before anything is opened."""

import os
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError
from leadconnector_async.jobs.places import DatabasePlace, FolderPlace, name_undo, parse_database, parse_place

from ..leaks import show_all

PASSWORD = "pass-w0rd-zzzz"
DATABASE = "postgresql://db.example.com/leads"


@pytest.mark.parametrize("folder", ["day.job", "./a#b", "/srv/jobs/day.job", "postgresql:/db", "c:\\jobs\\day.job"])
def test_what_is_not_a_url_is_a_folder(folder: str) -> None:
    """Whatever characters its name has, as text or as a path."""
    assert parse_place(folder) == FolderPlace(folder)
    assert parse_place(Path(folder)) == FolderPlace(str(Path(folder)))
    assert name_undo("day.job") == os.path.join("day.job", "undo")


NAMES = {
    f"{DATABASE}#march": f"{DATABASE}#march",
    f"postgres://me:{PASSWORD}@db.example.com:5433/leads?sslmode=require#2027-03.week_1": (
        "postgresql://db.example.com:5433/leads#2027-03.week_1"
    ),
    f"postgresql:///leads?host=/run/postgresql#{'x' * 64}": (
        f"postgresql:///leads?host=/run/postgresql#{'x' * 64}"
    ),
}


@pytest.mark.parametrize(("url", "shown"), NAMES.items())
def test_a_url_names_a_job_in_a_database(url: str, shown: str) -> None:
    """What is shown of it has neither user nor password nor other options."""
    place = parse_place(url)
    assert isinstance(place, DatabasePlace)
    assert place.name == shown
    assert repr(place) == "<DatabasePlace>"
    assert parse_place(name_undo(url)).name == f"{shown}.undo"
    assert parse_place(name_undo(name_undo(name_undo(url)))).name == f"{shown}.undo.undo.undo"
    assert PASSWORD not in repr(name_undo(url))


REFUSED = {
    DATABASE: f"{DATABASE} names no job; write {DATABASE}#NAME",
    f"{DATABASE}#": f"{DATABASE} names no job; write {DATABASE}#NAME",
    f"postgresql://me:{PASSWORD}@db.example.com/leads": f"{DATABASE} names no job; write {DATABASE}#NAME",
    f"{DATABASE}#March plan": ("'March plan' is not a valid job name: 1 to 64 letters, digits, '.', '_' and '-'"),
    f"{DATABASE}#märz": "'märz' is not a valid job name",
    f"{DATABASE}#{'x' * 65}": "is not a valid job name",
    f"{DATABASE}#a/b": "'a/b' is not a valid job name",
    f"postgresql://me:{PASSWORD}@db.example.com#march": "must name one database",
    f"postgresql://me:x#{PASSWORD}@db.example.com/leads#march": "fragment",
    f"postgresql://me:x#{PASSWORD}@db.example.com/leads": "fragment",
    "postgresql://db.example.com/leads?sslmode=disable#march": "may send everything unencrypted",
    "sqlite:////srv/leads.db#march": "jobs of several machines need Postgres; on one machine, pass a folder",
    "redis://127.0.0.1#march": "jobs of several machines need Postgres; on one machine, pass a folder",
    "sqlite:////srv/leads.db": "jobs of several machines need Postgres; on one machine, pass a folder",
    f"mysql://me:{PASSWORD}@db.example.com/leads#march": "write sqlite:///FILE, postgresql://HOST/DATABASE",
}


@pytest.mark.parametrize(("url", "reason"), REFUSED.items())
def test_what_names_no_job_is_refused(url: str, reason: str) -> None:
    """With a reason that says what to write; a password is neither in it nor in its frames."""
    with pytest.raises(ConfigurationError) as caught:
        parse_place(url)
    assert reason in str(caught.value)
    assert PASSWORD not in show_all(caught.value)


@pytest.mark.parametrize("value", [None, 7, "", b"day.job", "a\0b"])
def test_what_is_neither_is_refused(value: object) -> None:
    """As a path that cannot be used."""
    with pytest.raises(ConfigurationError, match=r"place is .*; it must be a path"):
        parse_place(value)  # type: ignore[arg-type]


def test_all_jobs_of_a_database_have_a_url_without_a_name() -> None:
    """With one, the right URL is shown; a password is in no error."""
    assert parse_database(f"postgresql://me:{PASSWORD}@db.example.com/leads").shown == DATABASE
    with pytest.raises(ConfigurationError) as caught:
        parse_database(f"postgresql://me:{PASSWORD}@db.example.com/leads#march")
    assert f"write {DATABASE} without #NAME" in str(caught.value)
    assert PASSWORD not in show_all(caught.value)
    with pytest.raises(ConfigurationError, match="need Postgres"):
        parse_database("sqlite:///leads.db")
