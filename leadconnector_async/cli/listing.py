"""`leadconnector jobs`: the jobs in a folder, or in a database."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Final

from cyclopts import App, Parameter
from msgspec import structs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..jobs import JobEntry, list_jobs
from .arguments import JOBS, Json
from .errors import run_command
from .exit_codes import DONE
from .output import clean
from .terminal import make_consoles, print_json, print_line

_HEADINGS: Final = ("job", "state", "rows", "done", "failed", "unknown", "rate", "workers", "since")
_WIDE: Final = 10_000
Where = Annotated[str, Parameter(help="A folder of jobs; the current one if omitted.")]


async def jobs(where: Where = ".", /, *, json_output: Json = False) -> int:
    """List jobs, and how far they are. Sends nothing.

    Example: leadconnector jobs
    """

    async def work() -> int:
        found = await asyncio.to_thread(list_jobs, where)
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


def register(app: App) -> None:
    """Add the command."""
    app.command(jobs, group=JOBS)


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
