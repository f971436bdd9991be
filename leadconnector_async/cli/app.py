"""The commands and their flags.

A command reads its flags, calls what does the work, and turns the result into words and an exit code.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from typing import Annotated, Final

from cyclopts import App, CycloptsError, CycloptsPanel, Group, Parameter
from rich.panel import Panel

from .._validation.text import escape, shorten
from .._version import __version__
from ..sandbox import Limits, Sandbox
from . import calls, jobs, plan
from .demo import print_report, run_demo, show_step
from .edge import guard
from .exit_codes import HELP
from .interrupt import catch_interrupts
from .terminal import DOCUMENT

_HELP = """Move appointments in HighLevel (LeadConnector) without losing any.

Try it without an account: `leadconnector demo`. Every command explains itself: `leadconnector plan --help`.

The account comes from the environment: `LEADCONNECTOR_LOCATION_ID`, and one of `LEADCONNECTOR_TOKEN`,
`LEADCONNECTOR_TOKEN_FILE` (a file for its owner only) and `LEADCONNECTOR_TOKEN_COMMAND` (a command that prints it);
for an OAuth app, `LEADCONNECTOR_CLIENT_ID`, `LEADCONNECTOR_CLIENT_SECRET` and `LEADCONNECTOR_TOKEN_STORE`. That of
another account, with `--profile clinic` or `LEADCONNECTOR_PROFILE=clinic`: `LEADCONNECTOR_CLINIC_TOKEN` and so on.
"""
_LAST_PORT: Final = 65535
SANDBOX = Group("Sandbox", sort_key=3)

_MOST_SHOWN: Final = 2000
"""Characters of an error: what was typed can be as long as a shell allows."""


def format_error(error: CycloptsError) -> Panel:
    """What was typed wrong; none of it steers a terminal."""
    lines = shorten(str(error), _MOST_SHOWN).split("\n")
    return CycloptsPanel("\n".join(map(escape, lines)))


app = App(
    name="leadconnector",
    help=_HELP,
    version=__version__,
    help_epilogue=HELP,
    error_formatter=format_error,
    group_commands=Group("About the command", sort_key=4),
)

for commands in (plan, jobs, calls):
    commands.register(app)
app.register_install_completion_command()  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no types


@app.command(group=SANDBOX)
async def demo(*, json_output: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Plan, move, kill, resume, verify and undo a clinic day of 250 rows against a local sandbox.

    No account and no network. Exit code 0 only if every appointment was where the plan wants it, was changed once,
    and is back where it was.

    Parameters
    ----------
    json_output
        Print the result as one JSON object on stdout, and nothing else.

    """

    async def work() -> int:
        report = await run_demo(ignore if json_output else show_step)
        if json_output:
            DOCUMENT.promise(due=False)
            print(json.dumps(report.to_dict(), indent=2))
        else:
            print_report(report)
        return 0 if report.holds else 1

    return await guard(work, as_json=json_output)


def ignore(step: object) -> None:
    """Show nothing."""


@app.command(group=SANDBOX)
async def sandbox(
    *,
    port: int = 0,
    seed: int = 1,
    locations: int = 1,
    appointments: int = 250,
    log_size: int = 10_000,
    max_requests: int = 100,
    interval: float = 10.0,
    fault: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> int:
    """Serve the local sandbox until interrupted; prints one JSON line with all that it takes to connect.

    That is url, token, location_id and location_ids, and tokens by location id if there are several; for OAuth,
    client_id and client_secret of its app, and a code to exchange.

    Parameters
    ----------
    port
        Port on 127.0.0.1; 0 takes a free one.
    seed
        The same seed gives the same ids and data.
    locations
        Locations of the agency; the first has the same ids and data, however many there are.
    appointments
        Single appointments of each location.
    log_size
        Requests that are kept for `GET /_sandbox/requests`, the newest.
    max_requests
        Requests in a window.
    interval
        Length of the window, in seconds.
    fault
        What shall go wrong, such as `update_appointment=503`; may be repeated.

    """
    try:
        _check_port(port)
        server = Sandbox(
            port=port,
            seed=seed,
            appointments=appointments,
            locations=locations,
            log_size=log_size,
            limits=Limits(max_requests=max_requests, interval=interval),
            faults=_read_faults(fault),
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return await guard(partial(_serve, server))


async def _serve(server: Sandbox) -> int:
    """Until somebody presses Ctrl-C."""
    stopped = asyncio.Event()

    def stop() -> str:
        stopped.set()
        return ""

    async with server:
        with catch_interrupts(stop):
            print(json.dumps(_describe(server)), flush=True)
            await stopped.wait()
    return 0


def _check_port(port: int) -> None:
    if not 0 <= port <= _LAST_PORT:
        raise ValueError(f"--port {port}: it must be from 0 to {_LAST_PORT}")


def _describe(server: Sandbox) -> dict[str, object]:
    """What another process must know to use it."""
    first, *others = server.location_ids
    ready: dict[str, object] = {
        "url": server.url,
        "token": server.token,
        "location_id": first,
        "location_ids": server.location_ids,
        "client_id": server.client_id,
        "client_secret": server.client_secret,
        "code": server.issue_code(),
    }
    if others:
        ready["tokens"] = {first: server.token} | {one: server.issue_token(location_id=one) for one in others}
    return ready


def _read_faults(texts: tuple[str, ...]) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    for text in texts:
        operation, equals, fault = text.partition("=")
        if not equals:
            raise ValueError(f"--fault {text!r}: write it as OPERATION=FAULT, such as update_appointment=503")
        faults.setdefault(operation, []).append(fault)
    return faults
