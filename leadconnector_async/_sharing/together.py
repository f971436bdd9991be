"""Calls of one event loop that are made while others are on their way go together, in one round trip.

A process that works on hundreds of locations would otherwise wait for as many round trips, one after the other: on
a network that takes milliseconds, no exchange would end in time, and the store would seem to be away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from typing import Final, Generic, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from ..exceptions import LeadConnectorError, StoreUnavailableError

A = TypeVar("A")
R = TypeVar("R")

Work: TypeAlias = Callable[[list[A]], Awaitable[Sequence[R | Exception]]]
"""Does what some calls ask for; returns the result of each, or why it alone has none."""

MOST: Final = 200
"""Calls in one round trip: a state has a few kilobytes, and whoever comes later waits for all of them."""


class _Line(Generic[A, R]):
    """The calls of one event loop."""

    def __init__(self) -> None:
        self.waiting: list[tuple[A, asyncio.Future[R]]] = []
        self.in_flight: list[tuple[A, asyncio.Future[R]]] = []
        self.task: asyncio.Task[None] | None = None


class Together(Generic[A, R]):
    """`work` does what up to `MOST` calls ask for. `name` is what errors call the store.

    A call takes at most `seconds`, unless it says otherwise. One that is cancelled leaves the others alone; once
    nobody waits for what is in progress, that is cancelled too.
    """

    def __init__(self, name: str, work: Work[A, R], seconds: float) -> None:
        self._name = name
        self._work = work
        self._seconds = seconds
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line[A, R]] = WeakKeyDictionary()

    async def call(self, one: A, seconds: float | None = None) -> R:
        """The result for one call. Raises `StoreUnavailableError` when its time is up, and what `work` raises."""
        bound = self._seconds if seconds is None else seconds
        loop = asyncio.get_running_loop()
        line = self._lines.setdefault(loop, _Line())
        future: asyncio.Future[R] = loop.create_future()
        line.waiting.append((one, future))
        self._begin(line)
        try:
            async with asyncio.timeout(bound):
                return await future
        except TimeoutError:
            raise StoreUnavailableError(f"{self._name} did not respond within {bound:g} s") from None
        finally:
            if line.task is not None and line.in_flight and all(each.done() for _, each in line.in_flight):
                line.task.cancel()

    def _begin(self, line: _Line[A, R]) -> None:
        """In the next iteration of the loop, with all that is called in this one."""
        if (line.task is None or line.task.done()) and line.waiting:  # one cancelled before it began is still there
            line.task = asyncio.get_running_loop().create_task(self._run(line))

    async def _run(self, line: _Line[A, R]) -> None:
        try:
            while line.waiting:
                wanted = [(one, future) for one, future in line.waiting if not future.done()]
                line.in_flight, line.waiting = wanted[:MOST], wanted[MOST:]
                if line.in_flight:
                    _tell(line.in_flight, await self._try([one for one, _ in line.in_flight]))
                line.in_flight = []
        finally:
            line.waiting = [each for each in line.waiting if not each[1].done()]
            line.in_flight, line.task = [], None
            self._begin(line)

    async def _try(self, calls: list[A]) -> Sequence[R | Exception]:
        try:
            return await self._work(calls)
        except Exception as error:
            return [error] * len(calls)


def _tell(in_flight: list[tuple[A, asyncio.Future[R]]], results: Sequence[R | Exception]) -> None:
    for (_, future), result in zip(in_flight, results, strict=True):
        if future.done():
            continue
        if isinstance(result, LeadConnectorError):
            future.set_exception(copy(result))  # each caller adds a traceback of its own
        elif isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
