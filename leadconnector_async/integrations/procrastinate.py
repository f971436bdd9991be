"""procrastinate as the task queue of workers. Needs the extra `cluster`.

It runs one task, whose arguments are a job and a location; rows with anything else are removed. Its rows are never
trusted: a worker with a ticket asks the journal. So a ticket may be lost, handed out twice, or left behind, and no
query needs a retry: during an outage a poll simply finds nothing.

The connection pool of procrastinate is not used: after an outage it waits for minutes, and it takes twice the CPU.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, LiteralString, cast

import procrastinate
import psycopg
from msgspec import convert, structs
from procrastinate import sql
from procrastinate.connector import BaseAsyncConnector
from psycopg.rows import dict_row

from .._sharing.connection import ConnectionKeeper
from .._sharing.url import StoreAddress
from ..exceptions import ConfigurationError, StoreUnavailableError
from ..jobs.tickets import Ticket, Work
from .engine_schema import LIST_APPLIED, SCHEMA, find_engine_fault
from .postgres import PostgresConnection

_QUEUE: Final = "leadconnector"
_TASK: Final = "leadconnector:location"
_MOST_TOGETHER: Final = 5_000
"""Maximum of tickets in one statement."""
_MANY: Final = 500
"""After so many new tickets the table is analyzed: with outdated statistics a fetch takes five times as long."""
_POLL_SECONDS: Final = 0.5
_NEVER: Final = 86_400.0
_GRACE_SECONDS: Final = 9.0
"""Grace period for running tickets at shutdown: longer than that of the worker, which ends them itself."""
_LARGEST_JOB: Final = 2**31 - 1
_LONGEST_LOCATION: Final = 1_000
_FETCH: Final = sql.queries["fetch_job"]
# procrastinate's worker crashes on arguments that are not a dictionary, or that Python cannot parse.
_FETCH_READABLE: Final = f"""
    SELECT id, status, task_name, priority, lock, queueing_lock, queue_name, attempts, worker_id,
           NULL AS scheduled_at, CASE WHEN jsonb_typeof(args) = 'object' AND length(args::text) < 2000
                                      THEN args ELSE '{{}}' END AS args
    FROM ({_FETCH.rstrip(";")}) AS fetched
"""  # noqa: S608 - their own statement
# procrastinate's own batch defer fails as a whole if one of the tickets is already waiting.
_DEFER: Final = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, args)
    SELECT %(queue)s, %(task)s, job || '/' || location, jsonb_build_object('job', job, 'location', location)
    FROM unnest(%(jobs)s::integer[], %(locations)s::text[]) WITH ORDINALITY AS given (job, location, position)
    ORDER BY position ON CONFLICT DO NOTHING
"""
_REMOVE_STALLED: Final = """
    DELETE FROM procrastinate_jobs AS job WHERE job.status = 'doing' AND NOT EXISTS (
        SELECT 1 FROM procrastinate_workers AS worker
        WHERE worker.id = job.worker_id AND worker.last_heartbeat > now() - make_interval(secs => %(seconds)s)
    )
"""
_REMOVE_WORKERS: Final = (
    "DELETE FROM procrastinate_workers WHERE last_heartbeat < now() - make_interval(secs => %(seconds)s)"
)
_ANALYZE: Final = "ANALYZE procrastinate_jobs"

logging.getLogger("procrastinate").addHandler(logging.NullHandler())


class EngineConnection(PostgresConnection):
    """A session in the engine's schema that returns rows as dictionaries."""

    async def query(self, statement: LiteralString, arguments: Mapping[str, object]) -> list[dict[str, object]]:
        """Run a statement. Raises `StoreUnavailableError`, and `_ForgottenError` if the worker was removed."""

        async def work() -> list[dict[str, object]]:
            async with self._connection.cursor(row_factory=dict_row) as cursor:
                try:
                    await cursor.execute(statement, arguments or None)
                    return await cursor.fetchall() if cursor.description else []
                except psycopg.errors.ForeignKeyViolation:
                    raise _ForgottenError from None
                except (psycopg.errors.RaiseException, psycopg.DataError, ValueError, RecursionError):
                    return []  # it finished a ticket that was removed, or fetched one that Python cannot parse

        return await self._do(work)

    async def check(self) -> None:
        """Raise `ConfigurationError` unless the tables are those of the procrastinate that is installed."""
        applied = [convert(name, str) for (name,) in await self.fetch(LIST_APPLIED)]
        if fault := find_engine_fault(self._address.shown, applied):
            raise ConfigurationError(fault)


class ProcrastinateTickets:
    """A queue of tickets in a Postgres database. `lease`: the lease of the worker, in seconds."""

    def __init__(self, address: StoreAddress, lease: float) -> None:
        self._lease = lease
        self._keeper = ConnectionKeeper(
            address.shown, partial(EngineConnection.open, _complete(address, lease)), EngineConnection.check
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self._keeper!r}>"

    async def defer(self, tickets: Sequence[Ticket]) -> None:
        """Queue tickets, in this order, except those that are already waiting."""
        for first in range(0, len(tickets), _MOST_TOGETHER):
            some = tickets[first : first + _MOST_TOGETHER]
            given = {"jobs": [one.job for one in some], "locations": [one.location for one in some]}
            await self._query(_DEFER, {"queue": _QUEUE, "task": _TASK, **given})
        if len(tickets) >= _MANY:
            await self._query(_ANALYZE)

    async def work(self, run: Work, slots: int, stopping: asyncio.Event) -> None:
        """Pass tickets to `run` until `stopping` is set. procrastinate is restarted if its worker was removed."""
        stop = asyncio.ensure_future(stopping.wait())
        running = _Running(run)
        try:
            while not stopping.is_set():
                engine = asyncio.ensure_future(self._serve(running, slots, stopping))
                try:
                    await asyncio.wait([engine, stop], return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError:
                    running.cancel()
                    raise
                finally:
                    await _end(engine)
                if not stopping.is_set():
                    await asyncio.wait([stop], timeout=self._poll)
        finally:
            stop.cancel()

    async def clean(self) -> None:
        """Remove the tickets of dead workers; those that are still needed are written again."""
        await self._query(_REMOVE_STALLED, {"seconds": self._lease})
        await self._query(_REMOVE_WORKERS, {"seconds": 10 * self._lease})

    async def check(self) -> None:
        """Connect, and check the tables."""
        await self._keeper.run(EngineConnection.check)

    async def aclose(self) -> None:
        """Close the connection of this event loop."""
        await self._keeper.aclose()

    @property
    def _poll(self) -> float:
        return min(_POLL_SECONDS, self._lease / 4)

    async def _query(self, statement: LiteralString, arguments: Mapping[str, object] | None = None) -> None:
        await self._keeper.run(lambda one: one.query(statement, arguments or {}), seconds=self._lease)

    async def _serve(self, running: _Running, slots: int, stopping: asyncio.Event) -> None:
        with suppress(StoreUnavailableError, _ForgottenError):
            await make_app(_Connector(self._keeper, self._lease / 2, stopping), running.run).run_worker_async(
                queues=[_QUEUE],
                concurrency=slots,
                delete_jobs="always",
                install_signal_handlers=False,
                listen_notify=False,  # NOTIFY takes a lock on the whole server, LISTEN occupies a connection
                fetch_job_polling_interval=self._poll,
                abort_job_polling_interval=_NEVER,
                update_heartbeat_interval=self._lease / 4,
                stalled_worker_timeout=10 * self._lease,
                shutdown_graceful_timeout=_GRACE_SECONDS,
            )


def make_app(connector: BaseAsyncConnector, run: Work) -> procrastinate.App:
    """Build an app with one task. The built-in one, which deletes rows, is removed: any row could call it."""
    app = procrastinate.App(connector=connector)
    app.tasks.clear()  # pyright: ignore[reportUnknownMemberType]

    @app.task(name=_TASK, queue=_QUEUE)
    async def work_on_location(**given: object) -> None:  # pyright: ignore[reportUnusedFunction]
        if (ticket := _read_ticket(given)) is not None:
            await run(ticket)

    return app


class _Running:
    """The running tickets, so that they can be cancelled at once: procrastinate would wait for them first."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, ticket: Ticket) -> None:
        task = asyncio.ensure_future(self._work(ticket))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await task

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


class _ForgottenError(Exception):
    """The engine's row for this worker is gone: another worker declared it dead."""


class _Connector(BaseAsyncConnector):
    """One connection for all queries of procrastinate. Once the worker stops, none waits for an outage to end."""

    def __init__(self, keeper: ConnectionKeeper[EngineConnection], seconds: float, stopping: asyncio.Event) -> None:
        self._keeper = keeper
        self._seconds = seconds
        self._stopping = stopping
        self._is_away = False

    async def execute_query_async(self, query: LiteralString, **arguments: object) -> None:
        """Send heartbeats and finish tickets. What fails during an outage is sent again, or cleaned up later."""
        with suppress(StoreUnavailableError):
            await self._run(query, arguments)

    async def execute_query_one_async(self, query: LiteralString, **arguments: object) -> dict[str, object]:
        """Register the worker, which an outage lets fail, or fetch a ticket, which then finds none."""
        if query != _FETCH:
            return (await self._run(query, arguments))[0]
        with suppress(StoreUnavailableError):
            return (await self._run(_FETCH_READABLE, arguments) or [{"id": None}])[0]
        return {"id": None}

    async def execute_query_all_async(self, query: LiteralString, **arguments: object) -> list[dict[str, object]]:
        """Remove workers without a recent heartbeat."""
        return await self._run(query, arguments)

    async def _run(self, query: LiteralString, arguments: Mapping[str, object]) -> list[dict[str, object]]:
        if self._is_away and self._stopping.is_set():
            raise StoreUnavailableError("The engine's database cannot be reached.")
        try:
            found = await self._keeper.run(
                lambda one: one.query(query, arguments), seconds=self._seconds, may_repeat=True
            )
        except StoreUnavailableError:
            self._is_away = True
            raise
        self._is_away = False
        return found


def _read_ticket(given: Mapping[str, object]) -> Ticket | None:
    """Parse the arguments of a row; `None` if they are not a ticket."""
    job, location = given.get("job"), given.get("location")
    is_ticket = len(given) == 2 and type(job) is int and type(location) is str
    if (
        not is_ticket
        or not (0 < cast("int", job) <= _LARGEST_JOB)
        or len(cast("str", location)) > _LONGEST_LOCATION
    ):
        return None
    return Ticket(cast("int", job), cast("str", location))


def _complete(address: StoreAddress, lease: float) -> StoreAddress:
    """Add the engine's schema and timeouts, so that a frozen process cannot keep a transaction open."""
    milliseconds = round(lease * 500)
    options = (
        f"-c search_path={SCHEMA} -c statement_timeout={2 * milliseconds} -c lock_timeout={milliseconds}"
        f" -c idle_in_transaction_session_timeout={milliseconds}"
    )
    given = dict(address.options)
    given["options"] = f"{given['options']} {options}" if "options" in given else options
    return structs.replace(address, options=given)


async def _end(engine: asyncio.Future[None]) -> None:
    """Stop procrastinate: it waits for running tickets."""
    engine.cancel()
    await asyncio.wait([engine])
    if not engine.cancelled() and (error := engine.exception()) is not None:
        raise error
