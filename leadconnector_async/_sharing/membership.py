"""How a process appears to the others: one member per store and event loop, with a lane for each location."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from collections.abc import Iterable, Set
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

from .._limiter.lane import Lane
from .._system.threads import NoThreadError, run_in_thread
from ..policy import RateLimit
from .budget import Clock, SharedBudget
from .exchanger import Exchanger, Link, StoreHealth
from .leases import Leases
from .presence import Presence
from .state import Limits
from .store import PRIVATE_APP, Store

_GOODBYE_SECONDS: Final = 1.0


def find_clock() -> Clock:
    """A monotonic clock that counts while the machine sleeps, where there is one."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        number = getattr(time, name, None)
        if number is not None:
            return partial(time.clock_gettime, number)
    return time.monotonic


class Member:
    """A process, in one event loop."""

    __slots__ = ("_exchangers", "_link", "name", "pid")

    def __init__(
        self, store: Store, shown: str, loop: asyncio.AbstractEventLoop, clock: Clock, *, has_presence: bool
    ) -> None:
        self.name, self.pid = secrets.token_hex(8), os.getpid()
        presence = Presence(self.name) if has_presence else None
        self._link = Link(store, StoreHealth(shown), presence, loop, clock)
        self._exchangers: WeakValueDictionary[str, Exchanger] = WeakValueDictionary()

    def find_lane(self, key: str, limit: RateLimit, lag: float) -> Lane:
        """The lane of a location; the first client that uses it says how it is limited."""
        known = self._exchangers.get(key)
        if known is not None:
            return known.lane
        loop, clock = self._link.loop, self._link.clock
        exchanger = self._exchangers[key] = Exchanger(self._link, key)
        leases = Leases(self.name, _read_limits(limit), random.Random())  # noqa: S311 - names requests of its own
        budget = SharedBudget(limit, lag, leases, exchanger, clock, loop.time)
        lane = Lane(budget, loop)
        exchanger.attach(budget, lane)
        return lane

    async def leave(self, lanes: Set[Lane] | None = None) -> None:
        """Say goodbye for these lanes, or for all, within a second."""
        exchangers = [one for one in self._exchangers.values() if lanes is None or one.lane in lanes]
        leaving = [self._link.loop.create_task(one.leave()) for one in exchangers]
        if leaving:
            await asyncio.wait(leaving, timeout=_GOODBYE_SECONDS)
        for task in leaving:
            task.cancel()
        for exchanger in exchangers:
            if not any(exchanger.count_waiting()):
                exchanger.stop()

    def abandon(self) -> None:
        """Its loop has ended without a goodbye: the others learn that from its lock."""
        if self._link.presence is not None:
            self._link.presence.hide(ended=True)

    async def close(self) -> None:
        """Say goodbye for good."""
        await self.leave()
        if (presence := self._link.presence) is not None:
            try:
                hiding = run_in_thread(presence.hide)
            except NoThreadError:
                presence.hide()
            else:
                await hiding


class Membership:
    """The members of one store in this process: one for each event loop that uses it."""

    __slots__ = ("_clock", "_has_presence", "_members", "_shown", "_store")

    def __init__(self, store: Store, shown: str, clock: Clock | None = None, *, has_presence: bool = True) -> None:
        self._store, self._shown = store, shown
        self._clock = clock or find_clock()
        self._has_presence = has_presence
        self._members: dict[asyncio.AbstractEventLoop, Member] = {}

    @property
    def clock(self) -> Clock:
        """The clock by which leases expire."""
        return self._clock

    def _find_member(self, loop: asyncio.AbstractEventLoop) -> Member:
        """The member that this process is in this loop; another one after a fork. Those of ended loops are gone."""
        for ended in [one for one in list(self._members) if one.is_closed()]:  # other threads have loops, too
            if (gone := self._members.pop(ended, None)) is not None:
                gone.abandon()
        member = self._members.get(loop)
        if member is None or member.pid != os.getpid():
            member = self._members[loop] = Member(
                self._store, self._shown, loop, self._clock, has_presence=self._has_presence
            )
        return member

    def open_lane(
        self,
        app: str | None,
        location_id: str | None,
        limit: RateLimit,
        lag: float,
        loop: asyncio.AbstractEventLoop,
    ) -> Lane:
        """The lane of a location, one for all clients in this loop. Without an `app`, that of private tokens."""
        return self._find_member(loop).find_lane(f"{app or PRIVATE_APP}/{location_id or ''}", limit, lag)

    async def leave(self, lanes: Iterable[Lane]) -> None:
        """Say goodbye for these lanes, within a second. Their loop may be that of another thread."""
        here, lanes = asyncio.get_running_loop(), set(lanes)
        for loop, member in list(self._members.items()):
            if member.pid != os.getpid():  # its loop runs in the process that this one was forked from
                continue
            if loop is here:
                await member.leave(lanes)
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(member.leave(lanes), loop))

    async def close(self) -> None:
        """Say goodbye for all lanes of this loop, within a second."""
        member = self._members.pop(asyncio.get_running_loop(), None)
        if member is not None and member.pid == os.getpid():
            await member.close()


def _read_limits(limit: RateLimit) -> Limits:
    return Limits(
        max_requests=limit.max_requests,
        interval=limit.interval,
        interactive_reserve=limit.interactive_reserve,
        daily=limit.daily,
        daily_reserve=limit.daily_reserve,
    )
