"""A worker: a process that takes locations of all jobs in a database and works on them until it is stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from .._call.emit import call_handler, log_event
from .._secret import conceal
from .._sharing.membership import find_clock
from .._sharing.url import DRIVERS, StoreAddress, explain_missing_driver
from .._validation.settings import check_callback, check_count, check_kind, check_line, check_seconds
from .._validation.text import escape
from ..exceptions import ConfigurationError
from .clients import Clients
from .journal.phases import list_unfinished
from .journal.protocol import Journal
from .opening import connect_journal
from .places import DatabasePlace, conceal_place, parse_database, parse_place
from .run.lease import LEASE
from .supervisor import Connect, Supervisor, WorkerSettings
from .tickets import Ticket, Tickets, Work
from .unit import ClientFor
from .worker_events import WorkerEvent, WorkerEventHandler

if TYPE_CHECKING:
    from ..integrations.procrastinate import ProcrastinateTickets

T = TypeVar("T")

_SLOTS: Final = 64
_MOST_SLOTS: Final = 1_000
_LEAST_LEASE: Final = 1.0
_START_SECONDS: Final = 30.0


async def run_worker(
    url: str,
    *,
    client_for: ClientFor,
    slots: int = _SLOTS,
    lease: float = LEASE,
    on_event: WorkerEventHandler | None = None,
    stop: asyncio.Event | None = None,
    allow_plaintext: bool = False,
) -> None:
    """Work on the jobs submitted to a database, `postgresql://HOST/DATABASE`, until told to stop.

    `url` is that of the database; `allow_plaintext` permits an unencrypted connection. `client_for` returns the
    client of a location, and may be async. The client must have a shared store, so that all workers share the rate
    limit of the location. The worker caches clients and closes them. It works on at most `slots` locations at a
    time. If the process dies or is cut off from the database, other workers take over its locations after `lease`
    seconds. `on_event` is called with every `WorkerEvent`.

    Shuts down gracefully, within ten seconds, once `stop` is set, or on SIGTERM or SIGINT if `stop` is not given:
    its locations are handed back before it returns. While the database is away, the worker waits and sends nothing.
    Raises `JournalError` if the database cannot be reached within 30 seconds of the start, and `ConfigurationError`
    for tables or clients that cannot be used.
    """
    given = conceal(url)
    del url
    address = parse_database(given, allow_plaintext=allow_plaintext)
    check_kind("client_for", client_for, Callable, "a function that returns the client of a location")  # type: ignore[arg-type]
    check_callback("on_event", on_event)
    if stop is not None:
        check_kind("stop", stop, asyncio.Event, "an asyncio.Event")
    settings = _build_settings(slots, lease)
    tickets = _open_tickets(address, lease)
    stopping = asyncio.Event() if stop is None else stop
    try:
        with _catch_signals(stopping, stop is None):
            await _work(
                settings, partial(connect_journal, address, None, lease), tickets, client_for, on_event, stopping
            )
    finally:
        await tickets.aclose()


async def work_location(
    place: str, location: str, *, client_for: ClientFor, lease: float = LEASE, allow_plaintext: bool = False
) -> None:
    """Work once on a location of a submitted job, `postgresql://HOST/DATABASE#NAME`, from a task queue of your own.

    `place` is the job, and `location` the id of one of its locations. `client_for`, `lease` and `allow_plaintext`
    are those of `run_worker`. Call it for each location in `list_open_locations` until that list is empty. It
    returns at once if another worker holds the location, and early if the location has to stop. If it is cancelled,
    the location is handed back. Raises what `run_worker` raises.
    """
    given = conceal_place(place)
    del place
    found = _parse_job(given, allow_plaintext=allow_plaintext)
    check_line("location", location)
    check_kind("client_for", client_for, Callable, "a function that returns the client of a location")  # type: ignore[arg-type]
    settings = _build_settings(1, lease)
    job = await _ask(found, lambda journal: journal.hold.job)
    stopping = asyncio.Event()
    tickets = _OneTicket(Ticket(job, location), stopping)
    connect = partial(connect_journal, found.address, None, lease)
    await _work(settings, connect, tickets, client_for, None, stopping, writes_tickets=False)


async def list_open_locations(place: str, *, allow_plaintext: bool = False) -> list[str]:
    """List the locations of a submitted job that need work, for a task queue of your own: see `work_location`.

    `place` is the job, `postgresql://HOST/DATABASE#NAME`; `allow_plaintext` permits an unencrypted connection.
    First the locations to be prepared; once all are prepared, those with rows to be sent. Empty if the job has
    ended, was stopped, or has refused rows. Raises `JournalError` if there is no such job, or if the database
    cannot be reached.
    """
    given = conceal_place(place)
    del place
    return await _ask(_parse_job(given, allow_plaintext=allow_plaintext), partial(list_unfinished, time.time()))


async def _work(
    settings: WorkerSettings,
    connect: Connect,
    tickets: Tickets,
    client_for: ClientFor,
    on_event: WorkerEventHandler | None,
    stopping: asyncio.Event,
    *,
    writes_tickets: bool = True,
) -> None:
    def emit(event: WorkerEvent) -> None:
        log_event(event)
        if on_event is not None:
            call_handler(on_event, event)

    clients = Clients(client_for)
    try:
        await Supervisor(settings, connect, tickets, clients, emit, writes_tickets=writes_tickets).run(stopping)
    finally:
        await clients.aclose()


def _build_settings(slots: int, lease: float) -> WorkerSettings:
    check_count("slots", slots, 1, _MOST_SLOTS)
    check_seconds("lease", lease)
    if lease < _LEAST_LEASE:
        raise ConfigurationError(f"lease is {lease:g}; it must be at least {_LEAST_LEASE:g} second")
    return WorkerSettings(slots=slots, lease=lease, clock=find_clock(), connect_within=_START_SECONDS)


def _parse_job(place: str | os.PathLike[str], *, allow_plaintext: bool) -> DatabasePlace:
    found = parse_place(place, allow_plaintext=allow_plaintext)
    if not isinstance(found, DatabasePlace):
        raise ConfigurationError(f"{escape(found.name)} is a folder, which one process runs: use BulkJob.run")
    return found


def _open_tickets(address: StoreAddress, lease: float) -> ProcrastinateTickets:
    try:
        from ..integrations.procrastinate import ProcrastinateTickets  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name not in DRIVERS:
            raise
    else:
        return ProcrastinateTickets(address, lease)
    raise explain_missing_driver(address)


async def _ask(place: DatabasePlace, work: Callable[[Journal], T]) -> T:
    journal = await connect_journal(place.address, place.job)
    try:
        return await journal.run(work)
    finally:
        await journal.close()


class _OneTicket:
    """A queue of one ticket, for `work_location`: the worker stops after its location."""

    def __init__(self, ticket: Ticket, stopping: asyncio.Event) -> None:
        self._ticket = ticket
        self._stopping = stopping

    async def defer(self, tickets: Sequence[Ticket]) -> None:
        """Discard them: the caller has a queue of its own."""

    async def work(self, run: Work, slots: int, stopping: asyncio.Event) -> None:
        """Hand out the ticket."""
        await run(self._ticket)
        if not stopping.is_set():  # otherwise the registration was lost, and there is another one
            self._stopping.set()

    async def clean(self) -> None:
        """Do nothing: there are no other workers' tickets."""

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


@contextmanager
def _catch_signals(stopping: asyncio.Event, wanted: bool) -> Generator[None]:
    """Set the event on SIGTERM and SIGINT, if this is the main thread: only it can handle signals."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            loop.add_signal_handler(number, stopping.set)
    except NotImplementedError:  # Windows has no such handlers
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            if handler is not None:
                signal.signal(number, handler)
