"""A journal of a job that was run against the sandbox, open for looking at what it leaves."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from leadconnector_async import LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, PlanRow, RowFault
from leadconnector_async.jobs.journal.counts import summarize
from leadconnector_async.jobs.journal.database import JOURNAL, SQLiteJournal
from leadconnector_async.jobs.report.html_report import write_report
from leadconnector_async.jobs.report.outcomes import write_outcomes
from leadconnector_async.sandbox import Sandbox


async def keep(folder: Path, client: LeadConnector, plan: Iterable[PlanRow | RowFault]) -> None:
    """Run a job to its end; bad rows are left behind."""
    async with await BulkJob.create(folder, client, plan, options=JobOptions(skip_refused=True)) as job:
        await job.run()


@contextmanager
def look(folder: Path) -> Iterator[SQLiteJournal]:
    """The journal of a job that has ended."""
    journal = SQLiteJournal.open(str(folder / JOURNAL))
    try:
        yield journal
    finally:
        journal.close()


def write(folder: Path, *changes: str) -> str:
    """Change the journal, write all files anew, and return the page."""
    with look(folder) as journal:
        for change in changes:
            journal.write(change)
        summary = summarize(journal)
        write_outcomes(journal, str(folder), summary)
        write_report(journal, str(folder / "report.html"), folder.name, summary)
    return (folder / "report.html").read_text()


def retitle(sandbox: Sandbox, count: int = 12) -> list[dict[str, object]]:
    """Cells that change nothing but titles."""
    return [{"event_id": event_id, "title": f"Visit {event_id}"} for event_id in sandbox.appointment_ids[:count]]
