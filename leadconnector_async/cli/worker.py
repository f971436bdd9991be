"""`leadconnector worker`: works on the jobs of a database, together with other workers, until it is stopped."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter
from msgspec import Struct, structs

from ..exceptions import ConfigurationError, JournalError, StoreUnavailableError
from ..jobs import DatabaseLost, WorkerEvent, WorkerStarted, WorkerStopped, run_worker
from ..jobs.unit import choose_client
from .arguments import ACCOUNT, JOBS, Account, Json, Reserve
from .connect import find_place, make_client
from .errors import run_command
from .exit_codes import DONE
from .interrupt import catch_interrupts
from .terminal import make_consoles, print_json, print_line

_TOUCHES: Final = 4
"""How often the health file is touched per lease."""


async def worker(
    url: Annotated[str, Parameter(help="Database with the jobs: postgresql://HOST/DATABASE.")],
    /,
    *,
    slots: Annotated[int, Parameter(help="Locations to work on at the same time.")] = 64,
    lease: Annotated[
        float, Parameter(help="Seconds without a heartbeat, after which other workers take over.")
    ] = 6.0,
    health: Annotated[
        str | None, Parameter(help="File to touch while the worker is healthy, for liveness probes.")
    ] = None,
    reserve: Reserve = None,
    json_output: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """Work on the jobs of a database. Ctrl-C or SIGTERM stops it and hands its locations to other workers.

    Start as many workers as you like, on any machines. Rate limits are shared through the same database, unless
    `--shared` names another store. Events are printed on stderr, one per line; with `--json`, as JSON objects.

    Example: leadconnector worker postgresql://db.example.com/leads
    """
    settings = WorkerFlags(slots, lease, health, reserve, json_output, account)
    return await run_command(partial(run, url, settings), as_json=json_output)


class WorkerFlags(Struct, frozen=True):
    """The flags of a worker."""

    slots: int
    lease: float
    health: str | None
    reserve: int | None
    as_json: bool
    account: Account


async def run(url: str, flags: WorkerFlags) -> int:
    """Work until SIGINT or SIGTERM."""
    account, stop, pulse = flags.account, asyncio.Event(), _Pulse(flags.health)
    place = find_place(url, account.profile)

    def report(event: WorkerEvent) -> None:
        pulse.note(event)
        _print_event(event, as_json=flags.as_json)

    async with make_client(account, flags.reserve, to_write="worker", place=place) as client:
        touching = asyncio.create_task(pulse.touch_every(flags.lease / _TOUCHES))
        try:
            with catch_interrupts(partial(_stop, stop)), _explain_outage():
                await run_worker(
                    place,
                    client_for=partial(choose_client, client),
                    slots=flags.slots,
                    lease=flags.lease,
                    on_event=report,
                    stop=stop,
                    allow_plaintext=account.allow_plaintext,
                )
        finally:
            touching.cancel()
    if flags.as_json:
        print_json({"exit_code": DONE})
    return DONE


def register(app: App) -> None:
    """Add the command."""
    app.command(worker, group=JOBS)


@contextmanager
def _explain_outage() -> Generator[None]:
    """Report a database that cannot be reached at the start as an outage, not as a damaged journal."""
    try:
        yield
    except JournalError as error:
        raise StoreUnavailableError(str(error)) from None


def _stop(stop: asyncio.Event) -> str:
    stop.set()
    return "Stopping: waiting up to 10 s for requests in flight. Ctrl-C again stops at once."


def _print_event(event: WorkerEvent, *, as_json: bool) -> None:
    """Print one line on stderr. A closed pipe does not stop the worker."""
    with suppress(OSError):
        if as_json:
            facts = {"event": type(event).__name__, **structs.asdict(event)}
            print(json.dumps(facts), file=sys.stderr, flush=True)
            return
        print_line(make_consoles()[1], f"{datetime.fromtimestamp(event.at):%Y-%m-%d %H:%M:%S} {event}")


class _Pulse:
    """Touches a file while the worker is registered and its event loop runs, for liveness probes."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._works = False
        if self._path is not None and not self._path.parent.is_dir():
            raise ConfigurationError(f"--health {path}: the folder {self._path.parent} does not exist")

    def note(self, event: WorkerEvent) -> None:
        """Update whether the worker is registered."""
        if isinstance(event, WorkerStarted):
            self._works = True
        elif isinstance(event, WorkerStopped | DatabaseLost):
            self._works = False

    async def touch_every(self, seconds: float) -> None:
        """Touch the file until this is cancelled. If it cannot be written, it looks like a worker that hangs."""
        while self._path is not None:
            if self._works:
                with suppress(OSError):
                    self._path.touch()
            await asyncio.sleep(seconds)
