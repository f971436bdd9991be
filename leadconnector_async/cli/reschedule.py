"""`leadconnector reschedule`: makes a job of a plan. A job that is not started leaves nothing behind."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final, TextIO

from cyclopts import Parameter
from msgspec import Struct

from .._api.precondition import MAX_READING_AGE
from ..client import LeadConnector
from ..exceptions import ConfigurationError
from ..jobs import BulkJob, JobOptions, iterate_plan
from ..jobs.journal.folder import remove_files
from ..jobs.places import is_url
from ..jobs.plan.files import PlanFormat
from ..jobs.plan.shown_times import DateFormat
from ..jobs.plan.text_files import KEEP, UTF_8, check_encoding
from ..jobs.report.preview_file import check_preview_path
from ..jobs.states import OnConflict
from .arguments import ACCOUNT, SHOWN, Account, DryRun, Json, OnEnd, Reserve, Shown, Switch, Yes, check_timezone
from .connect import find_place, make_client
from .errors import run_command
from .exit_codes import CAN_RESUME
from .interrupt import catch_interrupts, leave
from .notice import EndNotice, make_notice, run_with_notice
from .output import check_target
from .session import JobSession, discard_unless_begun
from .terminal import has_terminal

STDIN: Final = "-"
"""The plan that comes from there."""
_CANNOT_ASK: Final = (
    "the plan comes from stdin, so there is no terminal to ask for confirmation; add --yes or --dry-run. "
    "Nothing was changed."
)


@Parameter(name="*")
@dataclass(frozen=True)
class Reading:
    """What a plan of a spreadsheet leaves open."""

    date_format: Annotated[
        DateFormat | None,
        Parameter(help="The order of a date such as 3/9/2027; without it, such a date is refused."),
    ] = None
    encoding: Annotated[
        str | None, Parameter(help="The plan's encoding, such as cp1252, if it is neither UTF-8 nor UTF-16.")
    ] = None
    sheet: Annotated[
        str | None, Parameter(help="The sheet of a workbook (.xlsx) with the plan, if several hold something.")
    ] = None


READING: Final = Reading()


@Parameter(name="*")
@dataclass(frozen=True)
class Running:
    """How the job runs."""

    max_errors: Annotated[
        str | None, Parameter(help="Stop when this many rows have failed, or this percentage: `20` or `5%`.")
    ] = None
    rate: Annotated[float | None, Parameter(help="Maximum rows per second and location.")] = None
    concurrency: Annotated[int, Parameter(help="Maximum rows of a location in flight.")] = 16
    on_conflict: Annotated[
        OnConflict, Parameter(help="What to do with rows that want each other's time: `park`, `skip` or `force`.")
    ] = "park"
    verify: Annotated[Switch, Parameter(help="Read every appointment again after its change.")] = False
    allow_past: Annotated[Switch, Parameter(help="Allow times in the past.")] = False
    skip_refused: Annotated[Switch, Parameter(help="Continue without rows that cannot be carried out.")] = False
    max_reading_age: Annotated[
        float,
        Parameter(
            help="Maximum age of what was read of an appointment when its change is sent, in seconds; 0 reads it"
            " right before."
        ),
    ] = MAX_READING_AGE
    only: Annotated[
        str | None,
        Parameter(help="Change appointments only at these times of day, such as 22:00-06:00, in `--timezone`."),
    ] = None

    def build_options(self, timezone: str | None) -> JobOptions:
        """The options of the job. Raises `ConfigurationError`."""
        max_errors, max_error_percent = read_max_errors(self.max_errors)
        if self.only is not None and timezone is None:
            raise ConfigurationError(
                f"--only {self.only}: add the zone of these times, such as --timezone Europe/London"
            )
        return JobOptions(
            on_conflict=self.on_conflict,
            concurrency=self.concurrency,
            rate=self.rate,
            max_errors=max_errors,
            max_error_percent=max_error_percent,
            verify=self.verify,
            allow_past=self.allow_past,
            skip_refused=self.skip_refused,
            max_reading_age=self.max_reading_age,
            only=self.only,
            only_timezone=None if self.only is None else timezone,
        )


RUNNING: Final = Running()


async def reschedule(
    plan: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *,
    job: str | None = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    detach: Switch = False,
    canary: int | None = None,
    timezone: str | None = None,
    format: PlanFormat | None = None,
    reading: Reading = READING,
    running: Running = RUNNING,
    shown: Shown = SHOWN,
    on_end: OnEnd = None,
    reserve: Reserve = None,
    json_output: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """Check a plan, show what would change, ask for confirmation, and change it.

    Example: leadconnector reschedule day.csv --dry-run

    Parameters
    ----------
    plan
        A file in CSV or JSON, a workbook (.xlsx), or `-` for stdin.
    job
        Folder for the journal and the files of the job, next to the plan if omitted; or postgresql://HOST/DATABASE#NAME
        to have workers change it.
    detach
        Do not wait for the workers.
    canary
        Change this many rows first, read them again, and continue only if all succeeded.
    timezone
        IANA name of the time zone of times without an offset, of shifts by days, and of `--only`.
    format
        `csv` or `jsonl`, if neither the file name nor the content shows it.

    """

    def build_options() -> JobOptions:
        check_flags(canary, timezone)
        return running.build_options(timezone)

    place, chosen = job or choose_folder(plan), format or guess_format(plan)
    request = NewJob(
        plan, place, chosen, timezone, reading, dry_run, canary, yes, detach, json_output, account, reserve, shown
    )
    given = None if dry_run else on_end
    ending = partial(make_notice, given, account.profile, place, detach=detach or dry_run)
    work = partial(begin, request, build_options)
    return await run_command(partial(run_with_notice, ending, work), as_json=json_output)


class NewJob(Struct, frozen=True):
    """The flags that are not options of the job itself."""

    plan: str
    job: str
    format: PlanFormat | None
    timezone: str | None
    reading: Reading
    dry_run: bool
    canary: int | None
    yes: bool
    detach: bool
    as_json: bool
    account: Account
    reserve: int | None
    shown: Shown


async def begin(request: NewJob, build_options: Callable[[], JobOptions], notice: EndNotice) -> int:
    """Read the plan and the calendar, ask for confirmation, and run the job."""
    options = build_options()
    check_shown(request.shown, request.plan)
    if request.plan == "-" and not (request.yes or request.dry_run or has_terminal()):
        raise ConfigurationError(_CANNOT_ASK)
    if request.detach and not is_url(request.job):
        raise ConfigurationError("--detach needs a job that workers run: --job postgresql://HOST/DATABASE#NAME")
    to_write = None if request.dry_run else "reschedule"
    place = find_place(request.job, request.account.profile)
    async with make_client(request.account, request.reserve, to_write=to_write, place=place) as client:
        made = await create_job(request, place, client, options)
        async with discard_unless_begun(made) as begun:
            session = JobSession(
                made,
                yes=request.yes,
                as_json=request.as_json,
                dry_run=request.dry_run,
                detach=request.detach,
                on_end=notice.record,
            )
            question = "Change {count} appointments?"
            return await session.begin(question, begun, request.canary, request.shown)


def check_shown(shown: Shown, plan: str = STDIN) -> None:
    """Raise `ConfigurationError` for a preview that cannot be written, before the calendar is read."""
    if shown.preview is None:
        return
    path = check_preview_path(shown.preview)
    if plan != STDIN and os.path.exists(path) and os.path.exists(plan) and os.path.samefile(path, plan):
        raise ConfigurationError(f"--preview {path} would overwrite the plan itself; choose another name")
    check_target(path, force=shown.force)


async def create_job(request: NewJob, place: str, client: LeadConnector, options: JobOptions) -> BulkJob:
    """Make a job of the plan. Ctrl-C ends it at once: a plan on stdin may never arrive."""

    def give_up() -> str:
        if not is_url(place):
            remove_files(place)
        leave(CAN_RESUME, "Interrupted before anything was changed.")

    with open_plan(request.plan, request.reading.encoding) as source, catch_interrupts(give_up):
        rows = iterate_plan(
            source,
            format=request.format,
            timezone=request.timezone,
            date_format=request.reading.date_format,
            encoding=request.reading.encoding,
            sheet=request.reading.sheet,
        )
        plaintext = request.account.allow_plaintext
        return await BulkJob.create(place, client, rows, options=options, allow_plaintext=plaintext)


def check_flags(canary: int | None, timezone: str | None) -> None:
    """Raise `ConfigurationError` for impossible values."""
    if canary is not None and canary < 1:
        raise ConfigurationError(f"--canary {canary}: it must be at least 1")
    check_timezone(timezone)


def read_max_errors(text: str | None) -> tuple[int | None, float | None]:
    """`20` or `5%`, as a number of rows or a percentage. Raises `ConfigurationError`."""
    if text is None:
        return None, None
    number = text.removesuffix("%")
    try:
        return (None, float(number)) if text.endswith("%") else (int(number), None)
    except ValueError:
        raise ConfigurationError(
            f"--max-errors {text!r}: write a number such as 20, or a percentage such as 5%"
        ) from None


def choose_folder(plan: str) -> str:
    """Next to the plan, named after it; for stdin, named after the time."""
    if plan == "-":
        return f"leadconnector-{datetime.now():%Y%m%d-%H%M%S}.job"
    return f"{os.path.splitext(plan)[0]}.job"


def guess_format(plan: str) -> PlanFormat | None:
    """From the file name; `None` if only the content can tell."""
    return "jsonl" if plan.endswith((".jsonl", ".ndjson")) else None


@contextmanager
def open_plan(plan: str, encoding: str | None) -> Generator[TextIO | Path]:
    """The path of a plan, or stdin."""
    if plan != "-":
        yield Path(plan)
        return
    check_encoding(encoding or UTF_8)
    lines = io.TextIOWrapper(sys.stdin.buffer, encoding=encoding or UTF_8, errors=KEEP, newline="")
    try:
        yield lines
    finally:
        with suppress(ValueError):  # a thread may still read from it
            lines.detach()  # closing it would close stdin, which is needed for questions
