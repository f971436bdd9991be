"""Commands for any job, whoever runs it: report."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from ..exceptions import ConfigurationError
from ..jobs import BulkJob
from .arguments import JOBS, JobPlace, Json, Switch
from .errors import run_command
from .exit_codes import DONE
from .output import check_target
from .terminal import make_consoles, print_json, print_line


async def report(
    job: JobPlace,
    *,
    html: Annotated[str | None, Parameter(help="Write the HTML report alone, as this file.")] = None,
    folder: Annotated[str | None, Parameter(help="Where the files go; if omitted, into the job's folder.")] = None,
    force: Annotated[Switch, Parameter(help="Overwrite the file of `--html`.")] = False,
    json_output: Json = False,
) -> int:
    """Write the outcome files and the HTML report of a job again, even while it runs. Sends nothing.

    Example: leadconnector report day.job --html march.html
    """

    async def work() -> int:
        if html is not None and folder is not None:
            raise ConfigurationError("--html and --folder are both given; keep only one of them")
        check_target(html, force=force)
        async with await BulkJob.open(job) as opened:
            await opened.write_report(folder, html=html)
            written = html or folder or opened.name
        if json_output:
            print_json({"job": job, "exit_code": DONE, "written": written})
        else:
            print_line(make_consoles()[0], f"Files: {written}" if html is None else f"File: {written}")
        return DONE

    return await run_command(work, as_json=json_output)


def register(app: App) -> None:
    """Add the commands."""
    app.command(report, group=JOBS)
