"""The journal in Postgres: its tables and their indexes, its session, its commits, and taking in a plan."""

import re
import threading
import time
import traceback
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.rows import TupleRow

from leadconnector_async import ConfigurationError, JournalError, PlanError
from leadconnector_async._sharing.url import StoreAddress, parse_address
from leadconnector_async.exceptions import RowFault
from leadconnector_async.integrations import postgres_journal
from leadconnector_async.integrations.postgres_journal import PostgresJournal, fill_journal
from leadconnector_async.integrations.postgres_schema import SCHEMA
from leadconnector_async.integrations.postgres_session import PostgresSession, translate
from leadconnector_async.jobs import PlanRow
from leadconnector_async.jobs.journal import instructions, preparing, reviewing, rows
from leadconnector_async.jobs.journal.groups import Group, Hold, Value
from leadconnector_async.jobs.journal.load import NewJob
from leadconnector_async.jobs.journal.protocol import DatabaseAwayError, FenceLostError, Journal, ValueRefusedError
from leadconnector_async.jobs.journal.tables import INDEXES, KINDS

from .conftest import make_plan
from .test_both import Counts, at, end, prepare, read_counts, take, write

TYPES = {"real": "double precision", "blob": "bytea", "timestamptz": "timestamp with time zone"}


@pytest.fixture
def address(jobs_database: str) -> StoreAddress:
    return parse_address(jobs_database)


@pytest.fixture
def look(jobs_database: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A session of somebody who looks at the tables."""
    options = f"-c search_path={SCHEMA}"
    with psycopg.connect(jobs_database, autocommit=True, options=options) as connection:
        yield connection


def fill(address: StoreAddress, name: str = "", lease: float = 6.0) -> PostgresJournal:
    return fill_journal(address, name or uuid.uuid4().hex, NewJob(location="home"), lease, make_plan())


@pytest.fixture
def journal(address: StoreAddress) -> Iterator[PostgresJournal]:
    """Twelve rows in two locations."""
    opened = fill(address)
    yield opened
    opened.close()


def test_both_databases_have_the_same_columns(look: psycopg.Connection[TupleRow]) -> None:
    """Of the same kinds, and texts that sort by their bytes; only the keys that are given differ."""
    columns = look.execute(
        "SELECT table_name, column_name, data_type, collation_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name <> 'progress'",
        (SCHEMA,),
    ).fetchall()
    found = {(table, column): kind for table, column, kind, _ in columns if column != "id"}
    assert found == {
        (table, column): TYPES.get(kind, kind)
        for table, kinds in KINDS.items()
        for column, kind in kinds.items()
        if column != "id"
    }
    assert {collation for _, _, kind, collation in columns if kind == "text"} == {"C"}


def test_both_databases_have_the_same_indexes(look: psycopg.Connection[TupleRow]) -> None:
    """Those of rows: in Postgres the job comes first, with the location where SQLite has neither."""
    found = dict(look.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'rows'").fetchall())
    for statement in INDEXES:
        match = re.fullmatch(r"CREATE INDEX (\w+) ON rows \(([\w, ]+)\)(?: WHERE .*)?", statement)
        assert match is not None
        columns = match[2].removeprefix("location, ")
        assert f"(job, location, {columns})" in found.pop(match[1])
    assert found.keys() == {"rows_pkey"}


@pytest.fixture(scope="module")
def large(postgres_server: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A database with two jobs of 20,000 rows in 100 locations each, as the session of a worker sees it."""
    from ..conftest import make_database

    with make_database(postgres_server) as url:
        session = PostgresSession.open(parse_address(url), 6.0)
        look = session.connection
        look.execute(
            "INSERT INTO jobs (name, phase, rows, made_at) VALUES ('a', 'ready', 1, 0), ('b', 'ready', 1, 0)"
        )
        look.execute(
            "INSERT INTO rows (job, location, number, line, event_id, wanted, state, read_at, rank)"
            " SELECT job, 'loc' || n % 100, n, n, 'event' || n, '', CASE WHEN n % 3 = 0 THEN 'loaded'"
            " WHEN n % 3 = 1 THEN 'pending' ELSE 'applied' END, CASE WHEN n % 3 > 0 THEN 1 END, n % 7"
            " FROM generate_series(1, 20000) AS n, generate_series(1, 2) AS job"
        )
        look.execute("INSERT INTO locations SELECT job, location, COUNT(*) FROM rows GROUP BY job, location")
        look.execute("ANALYZE")
        yield look
        session.close()


def explain(look: psycopg.Connection[TupleRow], statement: bytes | str) -> str:
    """The plan for any values, as it is prepared once and used for all locations."""
    text = translate(statement).decode() if isinstance(statement, str) else statement.decode()
    numbers = iter(range(1, 100))
    text = re.sub("%s", lambda _: f"${next(numbers)}", text)
    count = len(set(re.findall(r"\$\d+", text)))
    look.execute(f"PREPARE one AS {text}".encode())
    try:
        plan = look.execute(f"EXPLAIN EXECUTE one({', '.join(['NULL'] * count)})".encode()).fetchall()
    finally:
        look.execute("DEALLOCATE one")
    return "\n".join(line for (line,) in plan)


by_event, by_new_id = preparing._HAS_ID
UNREAD = {
    f"{name}, {selected}": (statement.format(selected=condition, **parts), index)
    for selected, condition in preparing.SELECTED.items()
    for name, statement, parts, index in (
        ("unread", preparing._UNREAD, {}, "rows_unread"),
        ("by event", preparing._UNREAD_BY_ID, {"has_id": by_event.format(marks="?, ?")}, "rows_by_event"),
        ("by new id", preparing._UNREAD_BY_ID, {"has_id": by_new_id.format(marks="?, ?")}, "rows_by_new_id"),
    )
}
HOT: dict[str, tuple[str, str]] = {
    **UNREAD,
    "open": (rows._OPEN, "rows_open"),
    "next": (preparing._NEXT, "rows_open"),
    "parking": (rows._PARKING, "rows_parking"),
    "row": (preparing._ROWS.format(marks="?, ?"), "rows_pkey"),
    "outcome": (rows._OUTCOME, "rows_pkey"),
    "give back": (rows._GIVE_BACK, "rows_pkey"),
    "has open": (instructions._HAS_OPEN, "rows_"),
    "has unknown": (reviewing._HAS_UNKNOWN, "rows_parking"),
    "parked": (rows._PARKED, "rows_"),
    "forget location": (f"{preparing._FORGET} AND location = ?", "rows_"),
    "moves": (preparing._MOVES, "rows_"),
    "recount": (f"{rows._RECOUNT} AND location = ?", "rows_"),
}
GROUPS: dict[str, Group] = {
    "intend": rows._INTEND,
    "finish": rows._FINISH,
    "find": preparing._FIND,
    "read again": preparing._READ_AGAIN,
    "order": preparing._ORDER,
}


@pytest.mark.parametrize("name", HOT)
def test_statements_of_a_run_use_their_indexes(large: psycopg.Connection[TupleRow], name: str) -> None:
    """With one plan for all values; no job is read to the end for a row of it."""
    statement, index = HOT[name]
    plan = explain(large, statement)
    assert index in plan
    assert "Seq Scan on rows" not in plan


@pytest.mark.parametrize("name", GROUPS)
def test_many_rows_are_found_by_their_key(large: psycopg.Connection[TupleRow], name: str) -> None:
    """Each of them, however many a statement changes."""
    plan = explain(large, postgres_journal._render_group(GROUPS[name]))
    assert "Index Scan using rows_pkey" in plan
    assert "Seq Scan" not in plan


def test_a_statement_is_translated_once() -> None:
    """Marks, percent signs, and what leaves out rows that are locked."""
    assert translate("SELECT '%' FROM a WHERE b = ? /* skip locked */") == (
        b"SELECT '%%' FROM a WHERE b = %s FOR NO KEY UPDATE SKIP LOCKED"
    )


def show(session: PostgresSession, *names: str) -> list[object]:
    return [session.connection.execute(f"SHOW {name}".encode()).fetchall()[0][0] for name in names]


BOUNDS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "tcp_user_timeout")


def test_a_session_with_a_lease_is_bounded(jobs_database: str) -> None:
    """Whoever is frozen or cut off within it holds nothing for longer; what a report reads may take its time."""
    url = f"{jobs_database}?options=-c%20work_mem%3D7MB%20-c%20synchronous_commit%3Doff"
    for lease, bounds in ((3.0, ["3s", "1500ms", "1500ms", "1500ms"]), (None, ["0", "0", "10s"])):
        session = PostgresSession.open(parse_address(url), lease)
        shown = show(session, *BOUNDS)
        assert shown[:3] == bounds[:3]
        if lease is not None:
            assert show(session, "client_connection_check_interval") == ["1s"]
        assert show(session, "work_mem", "synchronous_commit", "plan_cache_mode") == [
            "7MB",
            "on",
            "force_generic_plan",
        ]
        assert str(show(session, "search_path")[0]).startswith(f"{SCHEMA}, ")
        session.close()


def render_report(error: BaseException) -> str:
    """What a tool shows of an error, with the locals of all frames but those of tests."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    found.stack[:] = [frame for frame in found.stack if "/tests/" not in frame.filename]
    assert found.stack
    return "".join(found.format())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://anna:s3cret@127.0.0.1:1/leads", "127.0.0.1:1/leads could not be reached"),
        ("{}_missing", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_opened_is_named_without_secrets(
    jobs_database: str, url: str, message: str
) -> None:
    """Neither in the error nor in what a report shows of its frames."""
    address = parse_address(url.format(jobs_database))
    with pytest.raises((JournalError, ConfigurationError), match=message) as caught:
        PostgresJournal.open(address, "march", 6.0)
    report = render_report(caught.value)
    assert "s3cret" not in report
    assert "anna" not in report


def test_tables_of_another_version_are_refused(postgres_url: str) -> None:
    """Those that are missing too, with the command that creates them."""
    address = parse_address(postgres_url)
    with pytest.raises(ConfigurationError, match="has no tables yet; run: leadconnector shared migrate"):
        PostgresJournal.open(address, "march")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE leadconnector_schema AS SELECT 2 AS version")
        with pytest.raises(ConfigurationError, match="version 2, older than version 3"):
            PostgresJournal.open(address, "march")


def test_a_job_that_does_not_exist_or_already_does(address: StoreAddress) -> None:
    """Both say how to go on."""
    with pytest.raises(JournalError, match=r"There is no job april in .*leadconnector jobs \S+ lists them"):
        PostgresJournal.open(address, "april")
    fill(address, name="june").close()
    with pytest.raises(ConfigurationError, match="#june already exists: resume it, or choose another name"):
        fill(address, name="june")
    PostgresJournal.open(address, "june").close()


class BrokenPlanError(Exception):
    """Of a caller's own rows."""


def break_off() -> Iterator[PlanRow]:
    yield from make_plan()
    raise BrokenPlanError


@pytest.mark.parametrize("why", ["bad row", "no rows", "error of the rows", "killed session"])
def test_of_a_plan_that_is_not_taken_in_nothing_remains(
    address: StoreAddress, look: psycopg.Connection[TupleRow], why: str
) -> None:
    """Neither rows nor the name, whatever went wrong."""

    def kill() -> Iterator[PlanRow]:
        yield from make_plan(5000)
        look.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'COPY rows%' AND datname = current_database()"
        )
        yield from (PlanRow(one.line, f"more{one.line}", one.update, "loc9") for one in make_plan(50_000))

    plans = {
        "bad row": iter([*make_plan(), RowFault(99, "title", "bad", "")]),
        "no rows": iter([]),
        "error of the rows": break_off(),
        "killed session": kill(),
    }
    with pytest.raises((PlanError, BrokenPlanError, JournalError)):
        fill_journal(address, f"not this {why}", NewJob(location="home"), 6.0, plans[why])
    assert look.execute("SELECT 1 FROM jobs WHERE name = %s", (f"not this {why}",)).fetchall() == []
    assert look.execute("SELECT COUNT(*) FROM rows WHERE job NOT IN (SELECT id FROM jobs)").fetchall() == [(0,)]


def count_syncs(journal: PostgresJournal, path: Path) -> Iterator[int]:
    """How often the server was asked to respond, counted from one step to the next."""
    with path.open("wb+") as file:
        journal.session.connection.pgconn.trace(file.fileno())
        try:
            while True:
                before = len(re.findall(rb"\tSync\b|\tQuery\b", path.read_bytes()))
                yield before
        finally:
            journal.session.connection.pgconn.untrace()


def test_a_commit_is_one_round_trip(journal: PostgresJournal, tmp_path: Path) -> None:
    """Its fence, its statements, whatever they are, and its end; so is the next one."""
    mine = at(prepare(journal), "loc0")
    counted = count_syncs(journal, tmp_path / "trace")
    first = next(counted)
    write(mine, rows.intend(1, 1.0), end(3, "applied"), rows.put_behind(5, 3, "later"), rows.intend(7, 1.0))
    write(mine, end(1, "failed"), rows.record_moment(1.0, "paused", 2.0))
    assert next(counted) - first == 2
    counted.close()  # type: ignore[attr-defined] # a generator


def fail_to_commit(mine: Journal) -> None:
    with mine.commit():
        preparing.leave_out(3, "skipped", "not this", 1.0, mine)
        mine.write("UPDATE rows SET reason = ? WHERE job = ?", ("\0", mine.hold.job))


def test_a_commit_that_fails_leaves_the_next_ones_alone(journal: PostgresJournal) -> None:
    """psycopg deallocates all prepared statements when it sees a rollback, also in the middle of the next one."""
    mine = take(prepare(journal), "loc0")
    for reason in ("one", "two", "three"):
        with mine.commit():
            preparing.leave_out(1, "skipped", reason, 1.0, mine)
        with pytest.raises(ValueRefusedError):
            fail_to_commit(mine)
    assert [(one.state, one.reason) for one in rows.find_outcomes([1, 3], mine)] == [
        ("skipped", "three"),
        ("pending", ""),
    ]


def test_prepared_statements_may_be_forgotten(journal: PostgresJournal) -> None:
    """By whatever does so at the server."""
    mine = prepare(journal)
    write(mine, rows.intend(1, 1.0))
    journal.session.connection.execute("DEALLOCATE ALL")
    write(mine, rows.intend(3, 1.0), end(1, "applied"))
    assert [one.state for one in rows.find_outcomes([1, 3], mine)] == ["applied", "sent"]


def test_a_commit_that_waited_for_a_take_is_refused(journal: PostgresJournal, address: StoreAddress) -> None:
    """The epoch is compared again when the lock is free; nobody has to be quick for that."""
    prepare(journal)
    mine = take(journal, "loc0")
    other = PostgresJournal.open_all(address)
    ends: list[BaseException | None] = []

    def commit() -> None:
        try:
            write(mine, end(1, "applied"))
            ends.append(None)
        except BaseException as error:
            ends.append(error)

    pid = mine.session.connection.info.backend_pid
    with other.session.transact():
        take(other.at(journal.hold), "loc0")
        thread = threading.Thread(target=commit)
        thread.start()
        while not other.session.connection.execute(
            "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted", (pid,)
        ).fetchall():
            time.sleep(0.01)
    thread.join()
    other.close()
    assert [type(one) for one in ends] == [FenceLostError]
    assert read_counts(journal, "loc0") == Counts(0, 0, 0, 0)
    write(at(mine, "loc1"), rows.intend(2, 1.0))


@pytest.mark.parametrize("when", ["before it", "while it waits"])
def test_a_session_that_is_ended_fails_the_commit(
    journal: PostgresJournal, look: psycopg.Connection[TupleRow], when: str
) -> None:
    """Whoever waits for it gets an error of the journal, at once."""
    mine = prepare(journal)
    pid = mine.session.connection.info.backend_pid
    errors: list[BaseException] = []

    def commit() -> None:
        try:
            write(mine, end(1, "applied"))
        except BaseException as error:
            errors.append(error)

    with look.transaction():
        look.execute("SELECT 1 FROM locations WHERE job = %s FOR UPDATE", (journal.hold.job,))
        thread = threading.Thread(target=commit)
        if when != "before it":
            thread.start()
            while not look.execute("SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted", (pid,)).fetchall():
                time.sleep(0.01)
        look.execute("SELECT pg_terminate_backend(%s)", (pid,))
        if when == "before it":
            thread.start()
        thread.join()
    assert [type(one) for one in errors] == [DatabaseAwayError]


def test_commits_of_the_same_locations_do_not_deadlock(journal: PostgresJournal, address: StoreAddress) -> None:
    """In whatever order they name them: two workers that both believe to hold them."""
    for location in ("loc0", "loc1"):
        prepare(journal, location)
        take(journal, location)
    errors: list[BaseException] = []

    def commit(numbers: tuple[int, ...]) -> None:
        opened = PostgresJournal.open_all(address)
        try:
            for _ in range(100):
                entries = [rows.finish(number, OUTCOME, 1.0, 1.0, None) for number in numbers]
                for number, entry in zip(numbers, entries, strict=True):
                    entry.hold = Hold(journal.hold.job, f"loc{1 - number % 2}", 1)
                opened.commit_entries(entries)
        except BaseException as error:
            errors.append(error)
        finally:
            opened.close()

    threads = [threading.Thread(target=commit, args=(numbers,)) for numbers in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert read_counts(journal, "loc0") == read_counts(journal, "loc1") == Counts(200, 0, 0, 0)


OUTCOME = rows.RowOutcome(line=1, event_id="e", state="applied")


def test_a_frozen_transaction_is_ended_by_the_server(address: StoreAddress) -> None:
    """So a take-over waits for half a lease, not forever; what was frozen learns of it and has written nothing."""
    journal = fill(address, lease=0.6)
    here = prepare(journal)
    other = PostgresJournal.open_all(address)
    taken: list[Journal] = []

    def freeze() -> None:
        statement = "UPDATE locations SET prepared = 7 WHERE job = ? AND location = ?"
        with here.commit():
            here.write(statement, (here.hold.job, "loc0"))
            taken.append(take(other.at(journal.hold), "loc0"))
            here.write(statement, (here.hold.job, "loc0"))

    with pytest.raises(JournalError, match="could not be written"):
        freeze()
    write(taken[0], end(1, "applied"))
    assert read_counts(other.at(journal.hold), "loc0") == Counts(1, 0, 0, 0)
    other.close()
    journal.close()


def test_updates_of_locations_need_no_index(journal: PostgresJournal, look: psycopg.Connection[TupleRow]) -> None:
    """One per commit and location: they stay in their page, and are cleaned without a vacuum."""
    mine = prepare(journal)
    statistics = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'locations'"
    before = read_statistics(mine, look, statistics)
    for _ in range(100):
        write(mine, end(1, "applied"))
    after = read_statistics(mine, look, statistics)
    changed, hot = (one - other for one, other in zip(after, before, strict=True))
    assert changed == 100
    assert hot >= 95


def read_statistics(journal: PostgresJournal, look: psycopg.Connection[TupleRow], query: str) -> tuple[int, ...]:
    journal.session.connection.execute("SELECT pg_stat_force_next_flush()")
    look.execute("SELECT pg_stat_clear_snapshot()")
    [found] = look.execute(query.encode()).fetchall()
    return tuple(found)


def test_a_person_sees_the_progress_of_jobs(journal: PostgresJournal, look: psycopg.Connection[TupleRow]) -> None:
    """In one view, without anything about persons."""
    write(prepare(journal), end(1, "applied"), end(3, "failed"))
    cursor = look.execute(
        "SELECT progress.* FROM progress JOIN jobs USING (name) WHERE jobs.id = %s", (journal.hold.job,)
    )
    [found] = [dict(zip([one.name for one in cursor.description or ()], row, strict=True)) for row in cursor]
    assert found["name"]
    assert {name: found[name] for name in ("phase", "rows", "applied", "not_changed", "locations", "workers")} == {
        "phase": "ready",
        "rows": 12,
        "applied": 1,
        "not_changed": 1,
        "locations": 2,
        "workers": 0,
    }


def test_a_journal_shows_no_secrets(jobs_database: str) -> None:
    """Neither its repr nor that of its session, whatever the URL holds."""
    parts = urlsplit(jobs_database)
    url = parts._replace(netloc=parts.netloc.replace("postgres@", "postgres:s3cret@")).geturl()
    journal = PostgresJournal.open_all(parse_address(url))
    with pytest.raises(JournalError) as caught:
        journal.write("UPDATE nothing SET a = ?", (1,))
    report = render_report(caught.value)
    journal.close()
    assert "s3cret" not in report
    assert "s3cret" not in f"{journal!r} {journal.session!r}"


def test_no_statement_changes_a_whole_location(address: StoreAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 100,000 rows it would take longer than a lease, again and again."""
    changed: list[int] = []

    execute = PostgresSession.execute

    def note(self: PostgresSession, statement: str, values: Iterable[Value] = ()) -> int:
        count = execute(self, statement, values)
        if statement.lstrip().startswith("UPDATE"):
            changed.append(count)
        return count

    monkeypatch.setattr(PostgresSession, "execute", note)
    monkeypatch.setattr(postgres_journal, "MOST_TOGETHER", 4)
    journal = fill_journal(address, uuid.uuid4().hex, NewJob(location="home"), 6.0, make_plan(10, 1))
    mine = prepare(journal)
    preparing.forget_location(mine)
    assert len(preparing.list_unread("to prepare", 100, mine)) == 10
    preparing.add_parking(7, (), [8], mine)
    instructions.skip_open(5.0, mine)
    assert not instructions.has_open(mine)
    assert sum(changed) >= 20
    assert max(changed) == 4
    journal.close()


@pytest.mark.parametrize(
    ("code", "is_away"),
    [
        ("08006", True),  # connection failure
        ("53100", True),  # disk full
        ("53200", True),  # out of memory
        ("53300", True),  # too many connections
        ("57P01", True),  # shut down
        ("58030", True),  # I/O error
        ("57014", False),  # a statement took too long: that of one location may
        ("55P03", False),  # locked by somebody
        ("XX001", False),  # a damaged page
        ("42501", False),  # no right to a table
    ],
)
def test_an_error_of_the_whole_database_blames_no_location(
    address: StoreAddress, code: str, *, is_away: bool
) -> None:
    """Whatever the statement was about; others may come from one location's rows."""
    session = PostgresSession.open(address, None)
    try:
        with pytest.raises(JournalError) as caught:
            session.execute(f"DO $$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}'; END $$")
    finally:
        session.close()
    assert isinstance(caught.value, DatabaseAwayError) is is_away


def test_a_connection_that_is_lost_blames_no_location(address: StoreAddress) -> None:
    """It has no code."""
    session = PostgresSession.open(address, None)
    session.connection.close()
    with pytest.raises(DatabaseAwayError):
        session.execute("SELECT 1")
