"""`leadconnector reschedule`: a plan becomes a job.

What is looked at and not begun leaves nothing behind.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Annotated, Final, TextIO

from cyclopts import Parameter
from msgspec import Struct

from .._api.precondition import MAX_READING_AGE
from ..client import LeadConnector
from ..exceptions import ConfigurationError
from ..jobs import BulkJob, JobOptions, iterate_plan
from ..jobs.journal.folder import remove_files
from ..jobs.plan.files import PlanFormat
from ..jobs.plan.shift import find_zone
from ..jobs.states import OnConflict
from .arguments import Json, Profile, Switch, Yes
from .connect import make_client
from .edge import guard
from .exit_codes import CAN_RESUME
from .interrupt import catch_interrupts, leave
from .session import JobSession, discard_unless_begun
from .terminal import has_terminal

_NOBODY_TO_ASK: Final = (
    "The plan is read from stdin, so there is no terminal to ask on: add --yes, or try it first with --dry-run. "
    "Nothing was changed."
)
_MARK: Final = "utf-8-sig"


async def reschedule(
    plan: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *,
    job: str | None = None,
    dry_run: Switch = False,
    yes: Yes = False,
    canary: int | None = None,
    max_errors: str | None = None,
    rate: float | None = None,
    concurrency: int = 16,
    on_conflict: OnConflict = "park",
    verify: Switch = False,
    allow_past: Switch = False,
    skip_refused: Switch = False,
    max_reading_age: float = MAX_READING_AGE,
    timezone: str | None = None,
    format: PlanFormat | None = None,
    json_output: Json = False,
    profile: Profile = None,
) -> int:
    """Check a plan, show what would change, ask, and change it.

    Example: leadconnector reschedule day.csv --dry-run

    Parameters
    ----------
    plan
        A file in CSV or JSON, or `-` for stdin.
    job
        Folder for the journal and the files of the job; beside the plan if left out.
    dry_run
        Show what would change, and change nothing.
    yes
        Do not ask.
    canary
        Change so many rows first, read them again, and go on only if all went well.
    max_errors
        Stop when so many rows have failed, or such a part of them: `20` or `5%`.
    rate
        Rows a second and location, at most.
    concurrency
        Rows of a location under way at once.
    on_conflict
        What to do where rows want each other's time: `park`, `skip` or `force`.
    verify
        Read every appointment again after its change.
    allow_past
        Take times that have passed.
    skip_refused
        Go on with the good rows if some cannot be carried out.
    max_reading_age
        How old, in seconds, the reading of an appointment may be when its change is sent; 0: read it right before.
    timezone
        IANA name of the zone for times without an offset, and for shifts by days.
    format
        `csv` or `jsonl`, if neither the file name nor the content shows it.
    json_output
        Print the summary as one JSON object on stdout, and nothing else there.
    profile
        Which account: `clinic` reads LEADCONNECTOR_CLINIC_TOKEN and so on.

    """

    def build_options() -> JobOptions:
        errors = read_max_errors(max_errors)
        check_flags(canary, timezone)
        return JobOptions(
            on_conflict, concurrency, rate, *errors, verify, allow_past, skip_refused, max_reading_age
        )

    folder, chosen = job or choose_folder(plan), format or guess_format(plan)
    wish = NewJob(plan, folder, chosen, timezone, dry_run, canary, yes, json_output, profile)
    return await guard(partial(begin, wish, build_options), as_json=json_output)


class NewJob(Struct, frozen=True):
    """What was asked for, beside the options that stay with the job."""

    plan: str
    folder: str
    format: PlanFormat | None
    timezone: str | None
    dry_run: bool
    canary: int | None
    yes: bool
    as_json: bool
    profile: str | None


async def begin(wish: NewJob, build_options: Callable[[], JobOptions]) -> int:
    """Take the plan in, look at the calendar, ask, and begin."""
    options = build_options()
    if wish.plan == "-" and not (wish.yes or wish.dry_run or has_terminal()):
        raise ConfigurationError(_NOBODY_TO_ASK)
    async with make_client(wish.profile) as client:
        made = await take_in(wish, client, options)
        async with discard_unless_begun(made) as begun:
            session = JobSession(made, yes=wish.yes, as_json=wish.as_json, dry_run=wish.dry_run)
            return await session.begin("Change {count} appointments?", begun, wish.canary)


async def take_in(wish: NewJob, client: LeadConnector, options: JobOptions) -> BulkJob:
    """Make a job of the plan. A Ctrl-C ends it at once: the plan may come from where nothing ever comes."""

    def give_up() -> str:
        remove_files(wish.folder)
        leave(CAN_RESUME, "Interrupted before anything was changed.")

    with open_plan(wish.plan) as file, catch_interrupts(give_up):
        rows = iterate_plan(file, format=wish.format, timezone=wish.timezone)
        return await BulkJob.create(wish.folder, client, rows, options=options)


def check_flags(canary: int | None, timezone: str | None) -> None:
    """Raise `ConfigurationError` for what cannot be meant."""
    if canary is not None and canary < 1:
        raise ConfigurationError(f"--canary {canary}: it must be at least 1")
    if timezone is not None:
        try:
            find_zone(timezone)
        except ValueError as error:
            raise ConfigurationError(f"--timezone: {error}") from None


def read_max_errors(text: str | None) -> tuple[int | None, float | None]:
    """`20` or `5%`, as a number of rows or a part of them. Raises `ConfigurationError`."""
    if text is None:
        return None, None
    number = text.removesuffix("%")
    try:
        return (None, float(number)) if text.endswith("%") else (int(number), None)
    except ValueError:
        raise ConfigurationError(
            f"--max-errors {text!r}: write a number such as 20, or a part such as 5%"
        ) from None


def choose_folder(plan: str) -> str:
    """Beside the plan, by its name; for stdin, by the time."""
    if plan == "-":
        return f"leadconnector-{datetime.now():%Y%m%d-%H%M%S}.job"
    return f"{os.path.splitext(plan)[0]}.job"


def guess_format(plan: str) -> PlanFormat | None:
    """By the file's name; `None` where only its content can tell."""
    return "jsonl" if plan.endswith((".jsonl", ".ndjson")) else None


@contextmanager
def open_plan(plan: str) -> Generator[TextIO]:
    """The lines of a plan; a byte order mark is no part of it."""
    if plan == "-":
        lines = io.TextIOWrapper(sys.stdin.buffer, encoding=_MARK, newline="")
        try:
            yield lines
        finally:
            with suppress(ValueError):  # a thread may read from it yet
                lines.detach()  # it would close stdin, which is asked afterwards
        return
    with open(plan, encoding=_MARK, newline="") as file:
        yield file
