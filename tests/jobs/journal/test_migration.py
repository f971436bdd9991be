"""Jobs of older versions: migrated when they are opened, and read as they are by whoever only looks."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from leadconnector_async import JournalError, LeadConnector
from leadconnector_async.cli.exit_codes import code_for
from leadconnector_async.jobs import BulkJob, list_jobs, read_plan, read_status
from leadconnector_async.jobs.journal.database import SQLiteJournal
from leadconnector_async.jobs.journal.migrate import name_copy
from leadconnector_async.sandbox import Limits, Sandbox

from ..jobbing import run, writes

SAMPLES = Path(__file__).parents[2] / "samples" / "jobs_of_0_1_0"
FOLDERS = {"killed": "1", "killed_later": "1", "../jobs_of_format_2/killed": "2"}
"""Of the samples, with their formats."""
COUNTS = {"applied": 7, "failed": 1, "unchanged": 3, "pending": 17, "refused": 1, "sent": 3}
"""Of the rows of the plan; one more is sent that only moves an appointment out of the way."""
OLD_COUNTS = {
    "1": {"applied": 7, "failed": 1, "in_place": 3, "ready": 17, "refused": 1, "sent": 4},
    "2": COUNTS | {"sent": 4},
}
"""By format."""

pytestmark = pytest.mark.sandbox(seed=7, appointments=40, limits=Limits(max_requests=10_000, interval=1.0))


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return shutil.copytree(SAMPLES / request.param, tmp_path / "job")


@pytest.fixture
def old_format(request: pytest.FixtureRequest, folder: Path) -> str:
    """That of the folder's journal."""
    return FOLDERS[request.node.callspec.params["folder"]]


def find_copy(folder: Path) -> Path:
    """What the migration has kept."""
    (copy,) = folder.glob("journal.format-?.sqlite")
    return copy


@pytest.fixture
async def clinic(sandbox: Sandbox) -> Sandbox:
    """The server as it was when the job was killed."""
    for event_id, fields in json.loads((SAMPLES / "server.json").read_text()).items():
        start, end = (datetime.fromisoformat(fields[name]) for name in ("start_time", "end_time"))
        sandbox.edit_appointment(event_id, title=fields["title"], start_time=start, end_time=end)
    return sandbox


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def count_states(path: Path) -> dict[str, int]:
    """As SQLite shows them, of a copy: looking changes nothing."""
    copy = path.parent / "looked-at"
    shutil.copytree(path.parent, copy, ignore=shutil.ignore_patterns("looked-at"))
    try:
        return dict(query(copy / path.name, "SELECT state, COUNT(*) FROM rows GROUP BY state"))
    finally:
        shutil.rmtree(copy)


def list_plan() -> dict[str, dict[str, Any]]:
    return {row["event_id"]: row for row in map(json.loads, (SAMPLES / "plan.jsonl").read_text().splitlines())}


def find_wanted(sandbox: Sandbox, row: dict[str, Any], before: datetime) -> dict[str, object]:
    """What the plan says of an appointment."""
    there = sandbox.appointment(row["event_id"])
    start = row.get("start_time")
    if "shift" in row:
        start = (before + timedelta(days=7, hours=-1)).isoformat()  # New York's summer time begins between
    wanted = datetime.fromisoformat(start) if start else there.start_time
    return {"title": row.get("title", there.title), "start_time": wanted}


async def test_a_job_killed_under_an_older_version_is_finished(
    folder: Path, old_format: str, clinic: Sandbox, client: LeadConnector
) -> None:
    """Every row ends as the plan says, what the server had applied is not written again, and a copy is kept."""
    applied = set(json.loads((SAMPLES / "server.json").read_text()))
    before = {one: clinic.appointment(one).start_time for one in clinic.appointment_ids}
    plan = list_plan()
    async with await BulkJob.open(folder, client) as job:
        copy = Path(name_copy(str(folder / "journal.sqlite"), old_format))
        assert (await job.summarize()).counts == COUNTS
        summary = await job.run()
        assert summary.counts == {"applied": 27, "failed": 1, "unchanged": 3, "refused": 1}
        assert await job.retry_failed() == 1
        assert (await job.run()).counts == {"applied": 28, "unchanged": 3, "refused": 1}
        assert (await job.verify()).differing == ()
    for event_id, row in plan.items():
        if event_id in before:
            there = clinic.appointment(event_id)
            shown = {"title": there.title, "start_time": there.start_time}
            assert shown == find_wanted(clinic, row, before[event_id])
    written = writes(clinic)
    assert len(written) == len(set(written))
    (parked,) = {row["event_id"] for row in plan.values() if "end_time" in row} & applied
    assert set(written) & applied == {parked}  # it was out of the way, and is where the plan wants it now
    assert count_states(copy) == OLD_COUNTS[old_format]
    assert query(folder / "journal.sqlite", "SELECT value FROM facts WHERE name = 'format'") == [("3",)]


async def test_what_a_migration_adds(folder: Path, client: LeadConnector) -> None:
    """One job, its location with counts of its rows, and numbers of rows that move others out of the way."""
    await (await BulkJob.open(folder, client)).aclose()
    path = folder / "journal.sqlite"
    assert query(path, "SELECT id, name, phase, rows, began_at > 0, made_at > 0 FROM jobs") == [
        (1, "", "ready", 32, 1, 1)
    ]
    counts = "rows, epoch, prepared, applied, unchanged, unknown, not_changed"
    assert query(path, f"SELECT {counts} FROM locations") == [(32, 0, 1, 7, 3, 0, 2)]  # noqa: S608
    assert query(path, "SELECT number, parks FROM rows WHERE parks IS NOT NULL") == [(-18, 18)]
    assert query(path, "SELECT number, waits_for FROM rows WHERE waits_for IS NOT NULL ORDER BY number") == [
        (18, "19 -18"),
        (19, "-18"),
    ]
    faults = query(path, "SELECT job, line, column_name, reason FROM faults")
    assert faults == [(1, 16, "event_id", "the event is deleted or unknown")]
    assert query(path, "SELECT COUNT(*) FROM rows WHERE job = 1") == [(33,)]


async def test_verdicts_survive_a_migration(tmp_path: Path, client: LeadConnector) -> None:
    """Each with the location of its row."""
    folder = shutil.copytree(SAMPLES / "../jobs_of_format_2/killed", tmp_path / "job")
    await (await BulkJob.open(folder, client)).aclose()
    verdicts = query(folder / "journal.sqlite", "SELECT job, location, number, verdict FROM verdicts")
    assert [number for _, _, number, _ in verdicts] == [1, *range(3, 12)]
    assert {(job, location, verdict) for job, location, _, verdict in verdicts} == {
        (1, "CJWWgj0zCCtVKkPiN0yq", "as_planned")
    }


def test_status_reads_old_formats_and_writes_nothing(folder: Path) -> None:
    """With the names of today; the files are the same afterwards, to the byte, and no copy is made."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    status = read_status(folder)
    assert status.summary.counts == COUNTS
    assert sum(sum(counts.values()) for counts in status.by_location.values()) == 32
    assert status.last_change is not None
    after = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
    assert after == before


async def test_a_report_of_an_old_job_can_be_written(folder: Path, client: LeadConnector, tmp_path: Path) -> None:
    """From a journal that is only read: the same as after a migration, and the job is listed."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert [(one.rows, one.done) for one in list_jobs(folder)] == [(32, 12)]
    async with await BulkJob.open(folder) as job:
        await job.write_report(tmp_path / "read")
    after = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
    assert after == before
    async with await BulkJob.open(folder, client) as job:
        await job.write_report(tmp_path / "migrated")
    for name in ("failed.csv", "report.html"):
        assert (tmp_path / "read" / name).read_text() == (tmp_path / "migrated" / name).read_text()


async def test_status_reads_the_current_format_and_writes_nothing(folder: Path, client: LeadConnector) -> None:
    """As it reads the old ones."""
    await (await BulkJob.open(folder, client)).aclose()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert read_status(folder).summary.counts == COUNTS
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name: after[name] for name in before} == before
    assert {name.rsplit("-")[-1] for name in after.keys() - before.keys()} <= {"wal", "shm"}
    assert not any(content for name, content in after.items() if name.endswith("-wal"))


@contextmanager
def without_write_access(folder: Path) -> Iterator[None]:
    """As a user who may only read the folder; for root, that is another user."""
    is_root = os.geteuid() == 0
    folder.chmod(0o555)
    (folder / "journal.sqlite").chmod(0o444)
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)


async def test_status_reads_a_folder_that_it_cannot_write_to(folder: Path, client: LeadConnector) -> None:
    """Such as a backup, or the job of another user: SQLite itself would want to create files beside it."""
    await (await BulkJob.open(folder, client)).aclose()
    with TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        other = Path(place, "job")
        other.mkdir()
        shutil.copy(folder / "journal.sqlite", other)
        with without_write_access(other):
            assert read_status(other).summary.counts == COUNTS
        assert [path.name for path in other.iterdir()] == ["journal.sqlite"]


async def test_a_journal_of_a_newer_format_is_refused(folder: Path, client: LeadConnector) -> None:
    """With exit code 7 and its format's number; the file is left alone."""
    await (await BulkJob.open(folder, client)).aclose()
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection, connection:
        connection.execute("UPDATE facts SET value = '4' WHERE name = 'format'")
    content = (folder / "journal.sqlite").read_bytes()
    with pytest.raises(JournalError, match=r"has journal format 4, .* reads formats 1, 2 and 3") as caught:
        await BulkJob.open(folder, client)
    assert code_for(caught.value) == 7
    with pytest.raises(JournalError, match="journal format 4"):
        read_status(folder)
    assert (folder / "journal.sqlite").read_bytes() == content


def query_format(folder: Path) -> str:
    """Of the journal in a folder; the folder does not change."""
    with TemporaryDirectory() as place:
        copy = shutil.copytree(folder, Path(place, "job"))
        ((found,),) = query(copy / "journal.sqlite", "SELECT value FROM facts WHERE name = 'format'")
    return str(found)


def make_failing(at: int) -> type[sqlite3.Connection]:
    """Connections that fail at one of their statements."""
    calls = 0

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            nonlocal calls
            calls += 1
            if calls == at:
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, *values)

    return Failing


def test_a_migration_that_fails_leaves_the_old_journal(folder: Path, old_format: str) -> None:
    """At every single statement: it is of the old format and whole, and is migrated when the disk is well again."""
    path, failures = str(folder / "journal.sqlite"), 0
    for at in range(1, 100):
        factory = make_failing(at)
        try:
            SQLiteJournal.open(
                path, lambda name, factory=factory: sqlite3.connect(name, isolation_level=None, factory=factory)
            ).close()
        except JournalError as error:
            assert "database or disk is full" in str(error)  # noqa: PT017 - the last attempt does not fail
        else:
            break
        failures += 1
        assert count_states(Path(path)) == OLD_COUNTS[old_format]
        assert query_format(folder) == old_format
        assert not list(folder.glob("*.new"))
    assert failures > 20
    assert count_states(Path(path)) == COUNTS | {"sent": 4}


def test_a_copy_that_does_not_fit_leaves_the_old_journal(
    folder: Path, old_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says that nothing has changed; nothing half written is left behind."""

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(JournalError, match=r"could not be migrated to format 3 .*No space left.* has not changed"):
        SQLiteJournal.open(str(folder / "journal.sqlite"))
    assert sorted(path.name for path in folder.glob("*format*")) == []
    assert count_states(folder / "journal.sqlite") == OLD_COUNTS[old_format]


KILLED = """
import os, signal, sqlite3, sys
from leadconnector_async.jobs.journal.database import SQLiteJournal
path, at = sys.argv[1], int(sys.argv[2])
calls = 0
def count(*values):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), signal.SIGKILL)
class Dying(sqlite3.Connection):
    def execute(self, *values):
        count()
        return super().execute(*values)
    def backup(self, target):
        count()
        super().backup(target)
        count()
replace = os.replace
os.replace = lambda *names: (count(), replace(*names), count())
SQLiteJournal.open(path, lambda name: sqlite3.connect(name, isolation_level=None, factory=Dying)).close()
"""


@pytest.mark.parametrize("at", [4, 5, 6, 7, 8, 9, 12, 16, 20, 25])
def test_a_migration_that_is_killed_leaves_a_journal_that_can_be_used(
    at: int, folder: Path, old_format: str
) -> None:
    """Within the copy, after it, or in the transaction: the old journal is whole, and the next attempt succeeds."""
    path = folder / "journal.sqlite"
    command = [sys.executable, "-c", KILLED, str(path), str(at)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL  # noqa: S603 - ours
    assert count_states(path) == OLD_COUNTS[old_format]
    SQLiteJournal.open(str(path)).close()
    assert count_states(path) == COUNTS | {"sent": 4}
    assert count_states(find_copy(folder)) == OLD_COUNTS[old_format]


async def test_the_copy_is_a_job_that_can_be_used(folder: Path, client: LeadConnector, tmp_path: Path) -> None:
    """It holds what was in the write-ahead log too, is for its owner's eyes only, and opens as the job did."""
    await (await BulkJob.open(folder, client)).aclose()
    copy = find_copy(folder)
    assert copy.stat().st_mode & 0o777 == 0o600
    (tmp_path / "again").mkdir()
    shutil.copy(copy, tmp_path / "again" / "journal.sqlite")
    async with await BulkJob.open(tmp_path / "again", client) as job:
        assert (await job.summarize()).counts == COUNTS


async def test_plans_and_outcome_files_of_0_1_0_are_read(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """`failed.csv` is a plan: its rows go through, but for one whose event does not exist."""
    with (SAMPLES / "plan.jsonl").open() as file:
        assert len(read_plan(file)) == 32
    with (SAMPLES / "ended" / "failed.csv").open(encoding="utf-8-sig", newline="") as file:
        plan = read_plan(file)
    assert [row.event_id for row in plan] == ["jh0QRTjtYMePmPchBhtP", "unknownEvent00000001"]
    summary = await run(tmp_path / "job", client, plan, skip_refused=True)
    assert summary.counts == {"applied": 1, "refused": 1}
    assert sandbox.appointment("jh0QRTjtYMePmPchBhtP").title == "Title 0"
