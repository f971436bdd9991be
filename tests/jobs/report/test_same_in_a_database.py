"""The files of a job in a folder and in a database, out of journals that say the same: the same, to the byte."""

from collections.abc import Callable
from pathlib import Path

from leadconnector_async.jobs import BulkJob
from leadconnector_async.jobs.journal.protocol import Journal
from leadconnector_async.jobs.journal.rows import recount_all
from leadconnector_async.sandbox import Sandbox

from ...conftest import MakeClient
from ..jobbing import rows, week_later

BEGAN = 1_800_000_000
CHANGES = {
    "prepared": "UPDATE jobs SET made_at = {began} - 60 WHERE id = ?",
    "begun": "UPDATE jobs SET began_at = {began}, ended_at = {began} + 90 WHERE id = ?",
    "applied": (
        "UPDATE rows SET state = 'applied', attempts = 1, sent_at = {began} + number,"
        " done_at = {began} + number * 2, seconds = number * 0.01 WHERE number > 0 AND job = ?"
    ),
    "failed": "UPDATE rows SET state = 'failed', reason = '=1+1' WHERE number IN (3, 4) AND job = ?",
    "skipped": "UPDATE rows SET state = 'skipped', reason = '<b>é\u202e' WHERE number = 6 AND job = ?",
    "unknown": "UPDATE rows SET state = 'unknown', trace_id = 'abc' WHERE number = 5 AND job = ?",
    "repeated": "UPDATE rows SET repeated = 1, attempts = 2 WHERE number IN (2, 5) AND job = ?",
    "in flight": "UPDATE rows SET state = 'sent', done_at = NULL WHERE number = 7 AND job = ?",
    "parked": "UPDATE rows SET parks = 1 WHERE number = 8 AND job = ?",
    "of two locations": "UPDATE rows SET location = 'Übung' WHERE number > 9 AND job = ?",
    "over a night": "UPDATE rows SET done_at = done_at + 40000 WHERE number > 12 AND job = ?",
    "over years": "UPDATE rows SET start_after = start_before + 86400 * 700 WHERE number = 2 AND job = ?",
    "paused": (
        "INSERT INTO moments (at, kind, seconds, job, location)"
        " SELECT {began} + 5, 'paused', 2.5, job, location FROM locations WHERE job = ?"
    ),
    "stopped": "UPDATE locations SET stop_kind = 'authentication', stop_reason = 'expired' WHERE job = ?",
}
"""Each is made to what the ones before have left."""


def make_change(statement: str) -> Callable[[Journal], None]:
    def work(journal: Journal) -> None:
        with journal.commit():
            journal.write(statement.format(began=BEGAN), (journal.hold.job,))
            recount_all(journal)

    return work


async def test_a_folder_and_a_database_give_the_same_files(
    sandbox: Sandbox, make_client: MakeClient, jobs_database: str, tmp_path: Path
) -> None:
    """Whatever has become of the rows: summary, outcome files and report."""
    name = tmp_path.name[:40]
    plan = week_later(sandbox, 16)
    async with (
        await BulkJob.create(tmp_path / name, make_client(), rows(*plan)) as here,
        await BulkJob.create(f"{jobs_database}#{name}", make_client(), rows(*plan)) as there,
    ):
        for job in (here, there):
            await job.prepare()
        for change, statement in CHANGES.items():
            for job in (here, there):
                await job._journal.run(make_change(statement))
            written = [
                await write(job, tmp_path / f"{change} {number}") for number, job in enumerate((here, there))
            ]
            assert written[0] == written[1], change
    assert {"failed.csv", "unknown.csv", "repeated.csv", "summary.json", "report.html"} == written[0].keys()


async def write(job: BulkJob, folder: Path) -> dict[str, str]:
    await job.write_report(folder)
    return {path.name: path.read_text() for path in folder.iterdir()}
