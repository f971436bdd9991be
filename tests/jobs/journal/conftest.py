"""A journal of each database, with one small job."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leadconnector_async._sharing.url import parse_address
from leadconnector_async.jobs import PlanRow
from leadconnector_async.jobs.journal.database import SQLiteJournal
from leadconnector_async.jobs.journal.folder import fill_journal
from leadconnector_async.jobs.journal.groups import Hold
from leadconnector_async.jobs.journal.load import NewJob
from leadconnector_async.jobs.journal.protocol import Journal
from leadconnector_async.jobs.journal.tables import DEFINITIONS, INDEXES
from leadconnector_async.models import AppointmentUpdate

from ..conftest import make_database

LEASE = 6.0
MakeJournal = Callable[..., Journal]


def make_plan(count: int = 12, locations: int = 2) -> list[PlanRow]:
    """Rows of `locations` locations in turn, `loc0` first."""
    update = AppointmentUpdate(title="Visit")
    return [PlanRow(n + 2, f"event{n}", update, f"loc{n % locations}") for n in range(count)]


@pytest.fixture(params=["sqlite", "postgres"])
def make_journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeJournal]:
    """Makes the journal of a new job, with the rows of a plan."""
    made: list[Journal] = []

    def make(plan: list[PlanRow] | None = None) -> Journal:
        rows, new = make_plan() if plan is None else plan, NewJob(location="home")
        journal: Journal
        if request.param == "sqlite":
            folder = tmp_path / f"{uuid.uuid4().hex}.job"
            folder.mkdir()
            journal = fill_journal(str(folder), new, None, rows)
        else:
            from leadconnector_async.integrations import postgres_journal  # only this needs psycopg

            address = parse_address(request.getfixturevalue("jobs_database"))
            name = uuid.uuid4().hex
            journal = postgres_journal.fill_journal(address, name, new, LEASE, rows)
        made.append(journal)
        return journal

    yield make
    for journal in made:
        journal.close()


@pytest.fixture
def journal(make_journal: MakeJournal) -> Journal:
    """Twelve rows in two locations."""
    return make_journal()


@pytest.fixture(scope="session")
def emptied_database(postgres_server: str) -> Iterator[str]:
    """A database for one test at a time, which finds no jobs and no workers in it."""
    with make_database(postgres_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_journal(request: pytest.FixtureRequest) -> Iterator[Journal]:
    """Of no job: the first that is added has the key 1."""
    journal: Journal
    if request.param == "sqlite":
        journal = sqlite = SQLiteJournal(":memory:")
        sqlite.sqlite.script("; ".join([*DEFINITIONS.values(), *INDEXES]))
    else:
        from leadconnector_async.integrations import postgres_journal, postgres_session  # only this needs psycopg

        address = parse_address(request.getfixturevalue("emptied_database"))
        session = postgres_session.PostgresSession.open(address, LEASE)
        session.execute("TRUNCATE jobs, workers RESTART IDENTITY CASCADE")
        journal = postgres_journal.PostgresJournal(session, Hold(1))
    yield journal
    journal.close()
