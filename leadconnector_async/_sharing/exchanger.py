"""The exchanges of one location with the store: one after the other, each when it is due.

An exchange reads the state, computes the next one, and swaps it in unless another process was faster. It runs
beside the calls, never in them: one that raises anything, or hangs, means that the store is away, and no call fails
because of it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar
from weakref import WeakSet

from msgspec import Struct, structs

from .._limiter.lane import Lane
from .._system.threads import NoThreadError, run_in_thread
from .._validation.text import show_error
from ..exceptions import LeadConnectorError, StoreUnavailableError
from .budget import Clock, SharedBudget
from .exchange import exchange
from .presence import Presence, find_dead
from .state import BudgetState, Grant, Report, decode, encode
from .store import Store

T = TypeVar("T")

LOGGER: Final = logging.getLogger("leadconnector_async")
KEEP_SECONDS: Final = 2 * 86_400.0
"""For how long a state is kept that nobody changes: it has the count of the day."""
_LONGEST: Final = 0.5
"""The part of `hold` that an exchange may take. What a slower one grants would have expired."""
_MOST_TRIES: Final = 30
"""After so many swaps that others won, the state changes faster than this process can read it."""
_FIRST_BREAK: Final = 0.001
_LONGEST_BREAK: Final = 0.05
_SILENT: Final = 2.0
"""A member that has been silent for so many times `hold` may have ended."""


class StoreHealth:
    """Logs when the store is lost and when it is back, once each, for all locations."""

    __slots__ = ("_is_lost", "_lost", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._lost: WeakSet[Exchanger] = WeakSet()
        self._is_lost = False

    def lose(self, exchanger: Exchanger, error: Exception) -> None:
        """An exchange of this location has failed."""
        self._lost.add(exchanger)
        if self._is_lost:
            return
        self._is_lost = True
        reason = show_error(error) if isinstance(error, LeadConnectorError) else type(error).__name__
        LOGGER.warning(
            "the shared store %s cannot be used (%s); each process keeps to its share of the limits until it can",
            self._name,
            reason,
        )

    def find(self, exchanger: Exchanger) -> None:
        """One has succeeded."""
        if self._is_lost:
            self._lost.discard(exchanger)
            if not self._lost:
                self._is_lost = False
                LOGGER.warning("the shared store %s can be used again", self._name)


class Link(Struct, frozen=True):
    """What all exchanges of one member use."""

    store: Store
    health: StoreHealth
    presence: Presence | None
    loop: asyncio.AbstractEventLoop
    clock: Clock


class Exchanger:
    """The exchanges of one location. `attach` gives it the lane that it serves."""

    __slots__ = ("__weakref__", "_is_woken", "_key", "_link", "_task", "_timer", "budget", "lane")

    budget: SharedBudget
    lane: Lane

    def __init__(self, link: Link, key: str) -> None:
        self._link, self._key = link, key
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.Handle | None = None
        self._is_woken = False

    def attach(self, budget: SharedBudget, lane: Lane) -> None:
        """Serve this lane, which takes its slots from this budget."""
        self.budget, self.lane = budget, lane

    def count_waiting(self) -> tuple[int, int]:
        """How many interactive and how many bulk calls wait."""
        return self.lane.count_waiting()

    def wake(self) -> None:
        """An exchange may have become due. Checked once for all that happens in one iteration of the loop."""
        if not self._is_woken and self._task is None:
            self._is_woken = True
            self._link.loop.call_soon(self._look)

    async def leave(self) -> None:
        """Report what remains to be reported, and say goodbye, unless calls still wait or the store is away."""
        while (task := self._task) is not None:
            await asyncio.wait([task])
        contact = self.budget.leases.contact
        if contact.grant is None or contact.failed_since is not None or any(self.count_waiting()):
            return
        self._task = self._link.loop.create_task(self._run(leaving=True))
        await asyncio.wait([self._task])

    def stop(self) -> None:
        """No more exchanges, unless something wakes it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()

    def _look(self) -> None:
        self._is_woken = False
        if self._task is not None:
            return
        moment = self._link.clock()
        due = self.budget.find_due(moment)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is None:
            return
        if due <= moment:
            self._task = self._link.loop.create_task(self._run())
        else:
            self._timer = self._link.loop.call_later(due - moment, self._look)

    async def _run(self, *, leaving: bool = False) -> None:
        try:
            await self._exchange(leaving=leaving)
        finally:
            self._task = None
        self.lane.hand_out()
        if not leaving:
            self.wake()

    async def _exchange(self, *, leaving: bool) -> None:
        start = self._link.clock()
        try:
            report, grant, began, ended = await self._bound(self._make(leaving=leaving))
            self.budget.accept(report, grant, began, ended)
        except Exception as error:
            self.budget.fail(start, self._link.clock())
            self._link.health.lose(self, error)
        else:
            self._link.health.find(self)

    async def _bound(self, making: Coroutine[object, object, T]) -> T:
        """Wait for an exchange, but not indefinitely, even if it does not end when it is cancelled."""
        task = self._link.loop.create_task(making)
        seconds = self.budget.leases.contact.hold * _LONGEST
        try:
            await asyncio.wait([task], timeout=seconds)
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(_retrieve_error)
        if not task.done():
            raise StoreUnavailableError(f"no response within {seconds:g} s")
        if task.cancelled():
            raise StoreUnavailableError("something that it awaited was cancelled")
        return task.result()

    async def _make(self, *, leaving: bool) -> tuple[Report, Grant, float, float]:
        """Report and ask until a swap succeeds. Returns report, grant, and when the reading began and ended."""
        if (presence := self._link.presence) is not None and not presence.is_shown:
            with suppress(NoThreadError):  # the next exchange tries again
                await run_in_thread(presence.show)
        for tries in range(_MOST_TRIES):
            if tries > 1:
                longest = min(_LONGEST_BREAK, _FIRST_BREAK * 2**tries)
                await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - spreads load, guards nothing
            began = self._link.clock()
            report = self.budget.write_report(began, time.time(), leaving=leaving)
            reading = await self._link.store.read(self._key)
            ended = self._link.clock()
            state = decode(reading.content)
            sighting = self.budget.leases.contact.sight(began, ended)
            dead = [] if state is None or presence is None else await _find_dead(state, report.member)
            report = structs.replace(report, sighting=sighting, dead=dead)
            state, grant = exchange(state, reading, report)
            if await self._link.store.swap(self._key, reading.version, encode(state), KEEP_SECONDS):
                return report, grant, began, ended
        raise StoreUnavailableError(f"the state was changed by others {_MOST_TRIES} times while it was read")


async def _find_dead(state: BudgetState, member: str) -> list[str]:
    """The members that have ended, as far as this machine can tell; files are looked at in a thread."""
    silent = [
        name
        for name, other in state.members.items()
        if name != member and state.now - other.seen > _SILENT * state.hold
    ]
    with suppress(NoThreadError):
        return await run_in_thread(partial(find_dead, silent)) if silent else []
    return []


def _retrieve_error(task: asyncio.Task[object]) -> None:
    with suppress(asyncio.CancelledError):
        task.exception()
