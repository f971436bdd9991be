"""`leadconnector jobs`: lists the jobs in a folder or a database, and purges old ones."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta
from typing import Annotated, Final

from cyclopts import App, Parameter
from msgspec import structs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..exceptions import ConfigurationError
from ..jobs import JobEntry, list_jobs, purge_jobs
from .arguments import JOBS, AllowPlaintext, Json, Yes
from .connect import find_place
from .errors import run_command
from .exit_codes import DONE, USAGE
from .output import clean
from .session import ask
from .terminal import make_consoles, print_json, print_line

_HEADINGS: Final = ("job", "state", "rows", "done", "failed", "unknown", "rate", "workers", "since")
_WIDE: Final = 10_000
_AGE: Final = re.compile(r"(\d{1,5})([dh])", re.ASCII)
Where = Annotated[
    str, Parameter(help="A folder of jobs, by default the current one, or postgresql://HOST/DATABASE.")
]


async def list_all(
    where: Where = ".", /, *, allow_plaintext: AllowPlaintext = False, json_output: Json = False
) -> int:
    """List jobs and their progress. Sends nothing.

    Example: leadconnector jobs
    """

    async def work() -> int:
        found = await asyncio.to_thread(list_jobs, find_place(where), allow_plaintext=allow_plaintext)
        if json_output:
            print_json({"exit_code": DONE, "jobs": [structs.asdict(entry) for entry in found]})
        elif found:
            _print_jobs(make_consoles()[0], found)
        else:
            print_line(
                make_consoles()[0], "There are no jobs here." if where == "." else f"There are no jobs in {where}."
            )
        return DONE

    return await run_command(work, as_json=json_output, reads=True)


async def purge(
    url: Annotated[str, Parameter(help="postgresql://HOST/DATABASE.")],
    /,
    *,
    older_than: Annotated[str, Parameter(help="How long ago a job must have ended, such as 90d or 12h.")],
    yes: Yes = False,
    allow_plaintext: AllowPlaintext = False,
    json_output: Json = False,
) -> int:
    """Delete the jobs of a database that ended long ago, with their rows, readings and outcomes.

    Example: leadconnector jobs purge postgresql://db.example.com/leads --older-than 90d
    """

    async def work() -> int:
        age, place = _read_age(older_than), find_place(url)
        if not ask(f"Remove the jobs that ended more than {older_than} ago?", yes=yes):
            return USAGE
        removed = await asyncio.to_thread(purge_jobs, place, age, allow_plaintext=allow_plaintext)
        if json_output:
            print_json({"exit_code": DONE, "removed": removed})
        else:
            console = make_consoles()[0]
            print_line(console, f"{len(removed)} job{'s' * (len(removed) != 1)} removed.")
            for name in removed:
                print_line(console, name, 2)
        return DONE

    return await run_command(work, as_json=json_output)


def register(app: App) -> None:
    """Add the commands."""
    group = App(name="jobs", group=JOBS)
    group.default(list_all)
    group.command(purge)
    app.command(group)


def _read_age(text: str) -> timedelta:
    """Parse `90d` or `12h`. Raises `ConfigurationError`."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"--older-than {text!r} is not a valid age; write days or hours, such as 90d or 12h"
        )
    return timedelta(days=int(match[1])) if match[2] == "d" else timedelta(hours=int(match[1]))


def _print_jobs(console: Console, found: list[JobEntry]) -> None:
    """One line per job; names are never cut."""
    table = Table(box=None, pad_edge=False)
    for heading in _HEADINGS:
        is_number = heading in ("rows", "done", "failed", "unknown", "workers")
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=True)
    for entry in found:
        table.add_row(*(Text(cell) for cell in _list_cells(entry)))
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)


def _list_cells(entry: JobEntry) -> list[str]:
    numbers = (entry.rows, entry.done, entry.failed, entry.unknown)
    rate = "" if entry.rate is None else f"{entry.rate:g}/s"
    since = datetime.fromtimestamp(entry.since).astimezone()
    return [clean(entry.name), entry.phase, *map(str, numbers), rate, str(entry.workers), f"{since:%Y-%m-%d %H:%M}"]
