"""Commands for jobs that exist: resume, status, retry-failed, verify, undo."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from itertools import chain

from cyclopts import App
from msgspec import structs

from ..jobs import BulkJob, Undo, Verification, read_status
from .arguments import JOBS, Json, Profile, Switch, Yes
from .connect import make_client
from .edge import guard
from .exit_codes import DONE, FAILED, code_of
from .job_report import print_outcomes, print_status
from .reschedule import reschedule
from .session import JobSession, describe, discard_unless_begun
from .terminal import make_consoles, print_json, print_line


async def resume(
    job: str, *, skip_refused: Switch = False, json_output: Json = False, profile: Profile = None
) -> int:
    """Go on with a job, after whatever has ended it.

    Example: leadconnector resume day.job

    Parameters
    ----------
    job
        Folder of the job.
    skip_refused
        Go on with the good rows if some cannot be carried out, or were changed before the job had sent anything.
    json_output
        Print the summary as one JSON object on stdout.
    profile
        Which account.

    """
    return await _go_on(job, profile, json_output, before=BulkJob.leave_out_refused if skip_refused else None)


async def retry_failed(job: str, *, json_output: Json = False, profile: Profile = None) -> int:
    """Try the rows again that failed or were left out.

    Example: leadconnector retry-failed day.job

    Parameters
    ----------
    job
        Folder of the job.
    json_output
        Print the summary as one JSON object on stdout.
    profile
        Which account.

    """
    return await _go_on(job, profile, json_output, before=BulkJob.retry_failed)


async def status(job: str, *, json_output: Json = False) -> int:
    """Say where a job stands, also while it runs. Asks nobody.

    Example: leadconnector status day.job

    Parameters
    ----------
    job
        Folder of the job.
    json_output
        Print it as one JSON object on stdout.

    """

    async def work() -> int:
        found = await asyncio.to_thread(read_status, job)
        if json_output:
            last = {"last_change": found.last_change, "by_location": found.by_location}
            print_json(describe(job, found.summary) | last)
        else:
            print_status(make_consoles()[0], job, found, datetime.now().astimezone())
        return code_of(found.summary)

    return await guard(work, as_json=json_output, reads=True)


async def verify(job: str, *, json_output: Json = False, profile: Profile = None) -> int:
    """Compare the calendar with what a job has done. Reads only.

    Example: leadconnector verify day.job

    Parameters
    ----------
    job
        Folder of the job.
    json_output
        Print it as one JSON object on stdout.
    profile
        Which account.

    """

    async def work() -> int:
        out, _ = make_consoles()
        async with make_client(profile) as client, await BulkJob.open(job, client) as opened:
            found = await opened.verify()
        code = FAILED if found.differing else DONE
        if json_output:
            print_json({"job": job, "exit_code": code, **_to_dict(found)})
        else:
            good = found.checked - len(found.differing) - len(found.unclear)
            print_line(out, f"{good} of {found.checked} changes stand as planned.")
            print_outcomes(out, "These do not:", found.differing)
            print_outcomes(out, "Of these the calendar does not show what was changed:", found.unclear)
        return code

    return await guard(work, as_json=json_output, reads=True)


async def undo(
    job: str, *, dry_run: Switch = False, yes: Yes = False, json_output: Json = False, profile: Profile = None
) -> int:
    """Take a job back: all that still stands as the job has left it. What somebody has changed since is kept.

    It is a job of its own, in the folder `undo` of the job, and can be resumed like any other.

    Example: leadconnector undo day.job --dry-run

    Parameters
    ----------
    job
        Folder of the job.
    dry_run
        Show what would change, and change nothing.
    yes
        Do not ask.
    json_output
        Print the summary as one JSON object on stdout.
    profile
        Which account.

    """

    async def work() -> int:
        async with make_client(profile) as client, await BulkJob.open(job, client) as opened:
            way_back = await opened.plan_undo()
            print_outcomes(make_consoles()[1], "Changed by somebody since, and kept:", way_back.kept)
            rows = iter(way_back.rows)
            first = next(rows, None)
            if first is None:
                return _report_nothing(job, way_back, json_output)
            options = structs.replace(opened.options, allow_past=True, skip_refused=True)
            made = await BulkJob.create(os.path.join(job, "undo"), client, chain([first], rows), options=options)
            async with discard_unless_begun(made) as begin:
                session = JobSession(made, yes=yes, as_json=json_output, dry_run=dry_run, kept=way_back.kept)
                return await session.begin("Change {count} appointments back?", begin)

    return await guard(work, as_json=json_output)


def register(app: App) -> None:
    """Add the commands."""
    for command in (reschedule, resume, status, retry_failed, verify, undo):
        app.command(command, group=JOBS)


async def _go_on(
    job: str, profile: str | None, as_json: bool, before: Callable[[BulkJob], Awaitable[object]] | None = None
) -> int:
    async def work() -> int:
        async with make_client(profile) as client, await BulkJob.open(job, client) as opened:
            if before is not None:
                await before(opened)
            return await JobSession(opened, yes=True, as_json=as_json).resume()

    return await guard(work, as_json=as_json)


def _report_nothing(job: str, way_back: Undo, as_json: bool) -> int:
    if as_json:
        kept = [structs.asdict(outcome) for outcome in way_back.kept]
        print_json({"job": job, "exit_code": DONE, "total": 0, "kept": kept})
    else:
        print_line(make_consoles()[0], "There is nothing to take back.")
    return DONE


def _to_dict(found: Verification) -> dict[str, object]:
    return {
        "checked": found.checked,
        "differing": [structs.asdict(outcome) for outcome in found.differing],
        "unclear": [structs.asdict(outcome) for outcome in found.unclear],
    }
