"""Who holds which location, read from the tables as anybody could; how long a location had no owner."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from msgspec import Struct

T = TypeVar("T")
SCHEMA = "-c search_path=leadconnector_jobs"
TICK = 0.05
ANSWERS_WITHIN = 10.0
"""Seconds after which a connection is given up: one to a server that was killed may never end by itself."""
OWNED = """
    SELECT l.job, l.location, l.epoch, l.prepared FROM locations AS l JOIN workers AS w ON w.id = l.worker
    WHERE w.pid = ANY(%s) AND l.ended = 0
"""
NOW = "SELECT job, location, epoch, prepared, worker IS NOT NULL, ended FROM locations"
LIVE = "SELECT pid FROM workers"
PHASE = "SELECT phase FROM jobs WHERE name = %s"
STATES = "SELECT event_id, state FROM rows WHERE job = (SELECT id FROM jobs WHERE name = %s)"
ENDED = ("done", "stopped", "refused")

Place = tuple[int, str]


class Held(Struct):
    """What somebody held when something happened to him."""

    epoch: int
    was_prepared: bool


class Watcher:
    """Its own connections, none of which outlives a failure of the database."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self.answers_since = time.monotonic()
        """Since when the database has answered without a failure."""

    async def fetch(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Tries until the database answers."""
        while True:
            try:
                async with asyncio.timeout(ANSWERS_WITHIN):
                    return await self._fetch(query, values)
            except (psycopg.OperationalError, TimeoutError):
                await self.close()
                await asyncio.sleep(TICK)
                self.answers_since = time.monotonic()

    async def _fetch(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, options=SCHEMA)
        return await (await self._connection.execute(query.encode(), values)).fetchall()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def list_held(self, *pids: int) -> dict[Place, Held]:
        """The unfinished locations of some processes."""
        rows = await self.fetch(OWNED, list(pids))
        return {(job, location): Held(epoch, bool(prepared)) for job, location, epoch, prepared in rows}

    async def measure(self, held: dict[Place, Held], began: float, longest: float) -> list[float]:
        """How long it takes until others work on them, counted from when the database answers.

        A location that was finished meanwhile does not count. Raises `TimeoutError`.
        """
        left, found = dict(held), list[float]()
        async with asyncio.timeout(longest):
            while left:
                for job, location, epoch, prepared, owned, ended in await self.fetch(NOW):
                    before = left.get((job, location))
                    if before is None:
                        continue
                    taken = epoch > before.epoch and owned
                    if taken:
                        found.append(time.monotonic() - max(began, self.answers_since))
                    if taken or ended or (prepared and not before.was_prepared):
                        del left[job, location]
                await asyncio.sleep(TICK)
        return found

    async def until(self, holds: Callable[[], Awaitable[bool]], longest: float) -> None:
        """Raises `TimeoutError`."""
        async with asyncio.timeout(longest):
            while not await holds():
                await asyncio.sleep(TICK)

    async def has_ended(self, job: str) -> bool:
        return (await self.fetch(PHASE, job))[0][0] in ENDED

    async def read_states(self, job: str) -> dict[str, str]:
        """States by event."""
        return dict(await self.fetch(STATES, job))

    async def list_pids(self) -> set[int]:
        """Of the processes that are registered."""
        return {int(pid) for (pid,) in await self.fetch(LIVE)}
