"""Commands for existing jobs: resume, status, retry-failed, verify, undo."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from itertools import chain

from cyclopts import App
from msgspec import structs

from ..client import LeadConnector
from ..jobs import BulkJob, JobOptions, Undo, Verification, read_status
from ..jobs.journal.folder import is_in_use
from ..jobs.places import is_url, name_undo
from .arguments import (
    ACCOUNT,
    JOBS,
    SHOWN,
    Account,
    AllowPlaintext,
    DryRun,
    JobPlace,
    Json,
    OnEnd,
    Reserve,
    Shown,
    Switch,
    Yes,
)
from .connect import find_place, make_client, require_write
from .control import continue_paused
from .errors import run_command
from .exit_codes import DONE, FAILED, code_of
from .job_report import print_outcomes, print_status
from .notice import EndNotice, make_notice, run_with_notice
from .reschedule import check_shown, reschedule
from .session import JobSession, describe, discard_unless_begun
from .terminal import make_consoles, print_json, print_line


async def resume(
    job: JobPlace,
    *,
    skip_refused: Switch = False,
    on_end: OnEnd = None,
    reserve: Reserve = None,
    json_output: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """Resume a job after any interruption, or continue one that was paused.

    Example: leadconnector resume day.job

    Parameters
    ----------
    skip_refused
        Continue without rows that are refused, or whose appointments were changed before the job sent anything.

    """
    ending = partial(make_notice, on_end, account.profile, job)
    if is_url(job):
        return await _resume_workers(job, account, ending, skip_refused=skip_refused, as_json=json_output)
    if is_in_use(job):
        return await continue_paused(job, partial(ending, detach=True), as_json=json_output)
    before = BulkJob.leave_out_refused if skip_refused else None
    return await _continue("resume", job, account, reserve, json_output, ending, before)


async def retry_failed(
    job: JobPlace,
    *,
    shown: Shown = SHOWN,
    on_end: OnEnd = None,
    reserve: Reserve = None,
    json_output: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """Retry the rows that failed or were skipped.

    Example: leadconnector retry-failed day.job
    """
    ending = partial(make_notice, on_end, account.profile, job)
    return await _continue("retry-failed", job, account, reserve, json_output, ending, BulkJob.retry_failed, shown)


async def status(job: JobPlace, *, allow_plaintext: AllowPlaintext = False, json_output: Json = False) -> int:
    """Show the state of a job, even while it runs. Sends nothing.

    Example: leadconnector status day.job
    """

    async def work() -> int:
        found = await asyncio.to_thread(read_status, find_place(job), allow_plaintext=allow_plaintext)
        code = code_of(structs.replace(found.summary, stopped=()))
        if json_output:
            more = {"phase": found.phase, "workers": found.workers, "last_change": found.last_change}
            more |= {"resume_at": found.resume_at}
            shown = describe(job, found.summary) | more | {"by_location": found.by_location}
            print_json(shown | {"exit_code": code})
        else:
            print_status(make_consoles()[0], job, found, datetime.now().astimezone())
        return code

    return await run_command(work, as_json=json_output, reads=True)


async def verify(
    job: JobPlace, *, reserve: Reserve = None, json_output: Json = False, account: Account = ACCOUNT
) -> int:
    """Compare the calendar with the changes of a job. Changes nothing.

    Example: leadconnector verify day.job
    """

    async def work() -> int:
        out, _ = make_consoles()
        async with _open(job, account, reserve, None) as (opened, _):
            found = await opened.verify()
        code = FAILED if found.differing else DONE
        if json_output:
            print_json({"job": job, "exit_code": code, **_to_dict(found)})
        else:
            good = found.checked - len(found.differing) - len(found.unclear)
            print_line(out, f"{good} of {found.checked} changes are as planned.")
            print_outcomes(out, "These differ:", found.differing)
            print_outcomes(
                out, "These cannot be compared, since the API does not show the changed field:", found.unclear
            )
        return code

    return await run_command(work, as_json=json_output, reads=True)


async def undo(
    job: JobPlace,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    shown: Shown = SHOWN,
    on_end: OnEnd = None,
    reserve: Reserve = None,
    json_output: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """Revert the changes of a job, field by field. What somebody has edited since is kept, and listed.

    The undo is a job of its own: in the subfolder `undo`, or in the database as `NAME.undo`. It can be resumed like
    any other job.

    Example: leadconnector undo day.job --dry-run
    """

    async def work(notice: EndNotice) -> int:
        check_shown(shown)
        async with _open(job, account, reserve, None if dry_run else "undo") as (opened, client):
            plan = await opened.plan_undo()
            print_outcomes(make_consoles()[1], "Not undone, or not completely (--json lists all):", plan.kept)
            made = await _create_undo(name_undo(find_place(job, account.profile)), opened, client, plan, account)
            if made is None:
                return _report_nothing(job, plan, json_output)
            async with discard_unless_begun(made) as begin:
                session = JobSession(
                    made,
                    yes=yes,
                    as_json=json_output,
                    dry_run=dry_run,
                    kept=plan.kept,
                    here=True,
                    on_end=notice.record,
                )
                return await session.begin("Revert {count} appointments?", begin, shown=shown)

    ending = partial(make_notice, None if dry_run else on_end, account.profile, job, detach=dry_run)
    return await run_command(partial(run_with_notice, ending, work), as_json=json_output)


def register(app: App) -> None:
    """Add the commands."""
    for command in (reschedule, resume, status, retry_failed, verify, undo):
        app.command(command, group=JOBS)


async def _continue(
    command: str,
    job: str,
    account: Account,
    reserve: int | None,
    as_json: bool,
    ending: Callable[[], EndNotice],
    before: Callable[[BulkJob], Awaitable[object]] | None,
    shown: Shown = SHOWN,
) -> int:
    async def work(notice: EndNotice) -> int:
        check_shown(shown)
        async with _open(job, account, reserve, command) as (opened, _):
            if before is not None:
                await before(opened)
            here = not await opened._is_submitted()  # pyright: ignore[reportPrivateUsage] - of this package
            session = JobSession(opened, yes=True, as_json=as_json, here=here, on_end=notice.record)
            return await (session.resume(shown) if here else session.follow())

    return await run_command(partial(run_with_notice, ending, work), as_json=as_json)


@asynccontextmanager
async def _open(
    job: str, account: Account, reserve: int | None, to_write: str | None
) -> AsyncGenerator[tuple[BulkJob, LeadConnector]]:
    place = find_place(job, account.profile)
    client = make_client(account, reserve, to_write=to_write, place=place)
    opening = BulkJob.open(place, client, allow_plaintext=account.allow_plaintext)
    async with client, await opening as opened:
        yield opened, client


async def _resume_workers(
    job: str, account: Account, ending: Callable[[], EndNotice], *, skip_refused: bool, as_json: bool
) -> int:
    """Resume a job in a database, and follow it while workers run it."""

    async def work(notice: EndNotice) -> int:
        require_write(account, "resume")
        place = find_place(job, account.profile)
        async with await BulkJob.open(place, allow_plaintext=account.allow_plaintext) as opened:
            if skip_refused:
                await opened.leave_out_refused()
            await opened.resume()
            return await JobSession(opened, yes=True, as_json=as_json, on_end=notice.record).follow()

    return await run_command(partial(run_with_notice, ending, work), as_json=as_json)


async def _create_undo(
    place: str, opened: BulkJob, client: LeadConnector, plan: Undo, account: Account
) -> BulkJob | None:
    """Make a job of the way back; `None` if there is nothing to undo."""
    rows = iter(plan.rows)
    if (first := next(rows, None)) is None:
        return None
    options, plaintext = build_undo_options(opened.options), account.allow_plaintext
    return await BulkJob.create(place, client, chain([first], rows), options=options, allow_plaintext=plaintext)


def build_undo_options(options: JobOptions) -> JobOptions:
    """Those of the job, but at any time of day: who undoes a job at noon does not mean to wait for the night."""
    return structs.replace(options, allow_past=True, skip_refused=True, only=None, only_timezone=None)


def _report_nothing(job: str, plan: Undo, as_json: bool) -> int:
    if as_json:
        kept = [structs.asdict(outcome) for outcome in plan.kept]
        print_json({"job": job, "exit_code": DONE, "total": 0, "kept": kept})
    else:
        print_line(make_consoles()[0], "There is nothing to undo.")
    return DONE


def _to_dict(found: Verification) -> dict[str, object]:
    return {
        "checked": found.checked,
        "differing": [structs.asdict(outcome) for outcome in found.differing],
        "unclear": [structs.asdict(outcome) for outcome in found.unclear],
    }
