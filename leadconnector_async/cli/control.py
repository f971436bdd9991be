"""Commands for any job, whoever runs it: pause, cancel, rate, report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from cyclopts import App, Parameter

from ..exceptions import ConfigurationError
from ..jobs import BulkJob
from .arguments import JOBS, AllowPlaintext, JobPlace, Json, Switch
from .connect import find_place
from .errors import run_command
from .exit_codes import DONE
from .output import check_target
from .terminal import make_consoles, print_json, print_line


async def pause(job: JobPlace, *, allow_plaintext: AllowPlaintext = False, json_output: Json = False) -> int:
    """Pause a running job: rows in flight finish, and no new ones start. `leadconnector resume` continues it.

    Example: leadconnector pause day.job
    """
    given = (job, allow_plaintext)
    return await _control(given, BulkJob.pause, "is paused", "is already paused", as_json=json_output)


async def continue_paused(job: str, check: Callable[[], object], *, as_json: bool) -> int:
    """Resume the job of a folder that another process runs. `check` raises for flags that do not apply then."""

    async def act(opened: BulkJob) -> bool:
        check()
        return await opened.resume()

    return await _control((job, False), act, "continues", "is running", as_json=as_json)


async def cancel(job: JobPlace, *, allow_plaintext: AllowPlaintext = False, json_output: Json = False) -> int:
    """Cancel a job: rows in flight finish, and open rows are skipped. `retry-failed` re-queues them.

    Example: leadconnector cancel day.job
    """
    given = (job, allow_plaintext)
    return await _control(given, BulkJob.cancel, "is cancelled", "is already cancelled", as_json=json_output)


async def rate(
    job: JobPlace,
    rows: Annotated[str, Parameter(help="Maximum rows per second and location; `off` for no maximum.")],
    /,
    *,
    allow_plaintext: AllowPlaintext = False,
    json_output: Json = False,
) -> int:
    """Change the rate of a job, also while it runs.

    Example: leadconnector rate day.job 5
    """

    async def change(opened: BulkJob) -> bool:
        await opened.set_rate(_read_rate(rows))
        return True

    words = "has no maximum rate" if rows == "off" else f"changes at most {rows} rows per second and location"
    return await _control((job, allow_plaintext), change, words, words, as_json=json_output)


async def report(
    job: JobPlace,
    *,
    html: Annotated[str | None, Parameter(help="Write only the HTML report, to this file.")] = None,
    folder: Annotated[
        str | None,
        Parameter(
            help="Folder for the files; default: the folder of the job, or `NAME.report` for a job in a database."
        ),
    ] = None,
    force: Annotated[Switch, Parameter(help="Overwrite the file of `--html`.")] = False,
    allow_plaintext: AllowPlaintext = False,
    json_output: Json = False,
) -> int:
    """Write the outcome files and the HTML report of a job again, even while it runs. Sends nothing.

    Example: leadconnector report day.job --html march.html
    """

    async def work() -> int:
        if html is not None and folder is not None:
            raise ConfigurationError("--html and --folder cannot be used together; give only one of them")
        check_target(html, force=force)
        async with await BulkJob.open(find_place(job), allow_plaintext=allow_plaintext) as opened:
            written = html or folder or opened.folder or f"{opened.name.partition('#')[2]}.report"
            await opened.write_report(written, html=html)
        if json_output:
            print_json({"job": opened.name, "exit_code": DONE, "written": written})
        else:
            print_line(make_consoles()[0], f"Files: {written}" if html is None else f"File: {written}")
        return DONE

    return await run_command(work, as_json=json_output)


def register(app: App) -> None:
    """Add the commands."""
    for command in (pause, cancel, rate, report):
        app.command(command, group=JOBS)


async def _control(
    given: tuple[str, bool], act: Callable[[BulkJob], Awaitable[bool]], done: str, nothing: str, *, as_json: bool
) -> int:
    """Open a job, act on it, and print what has changed."""

    async def work() -> int:
        job, allow_plaintext = given
        async with await BulkJob.open(find_place(job), allow_plaintext=allow_plaintext) as opened:
            changed = await act(opened)
            if as_json:
                print_json({"job": opened.name, "exit_code": DONE, "changed": changed})
            else:
                print_line(make_consoles()[0], f"{opened.name} {done if changed else nothing}.")
        return DONE

    return await run_command(work, as_json=as_json)


def _read_rate(text: str) -> float | None:
    """Parse a number of rows, or `off`. Raises `ConfigurationError`."""
    if text == "off":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"{text!r} is not a valid rate; write a number such as 5 or 0.5, or off") from None
