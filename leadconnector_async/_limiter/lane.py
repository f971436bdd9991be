"""The calls that wait for slots of one location: interactive before bulk, first come, first served."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol, TypeAlias

from msgspec import structs

from .._retry.budget import RetryBudget
from .headers import LocationQuota
from .pause import Pause
from .slots import Refused, Ticket

_MOST_OVERTAKEN: Final = 4
"""How often in a row interactive calls go before a bulk call that waits."""
CLOCK_LAG: Final = 0.002 + time.get_clock_info("monotonic").resolution
"""By how many seconds a loop's clock may be behind: uvloop's counts in milliseconds, that of Windows in ticks."""


class Budget(Protocol):
    """Where the slots of a location come from: `LocalBudget`, or a budget that several processes share.

    Nothing here waits; `now` is a time of the loop's clock. A budget that gets new slots by itself, as by an
    exchange with a store, calls `Lane.hand_out`.
    """

    @property
    def pause(self) -> Pause:
        """The pause of the location after a 429."""
        ...

    def take(self, now: float, *, bulk: bool = False, overtaken: bool = False) -> Ticket | None:
        """Take a slot, if one more may be sent now. Returned by exactly one of `finish`, `refuse` and `free`.

        `overtaken`: for a bulk call whose turn it is although interactive calls wait.
        """
        ...

    def compute_next(self, now: float, *, bulk: bool = False) -> float | None:
        """When to ask again for this class by time alone; `None` if only a response can let one more go."""
        ...

    def check_day(self, now: float, *, bulk: bool) -> Refused | None:
        """Why nothing more may be sent today; `None` if something may."""
        ...

    def compute_wait(self, now: float, ahead: int, bulk_ahead: int | None = None) -> float:
        """The shortest wait in seconds with so many ahead; for a bulk call, how many of them are bulk calls."""
        ...

    def finish(
        self, ticket: Ticket, answered_at: float, headers: Mapping[str, str], *, success: bool = True
    ) -> None:
        """The headers of a response came."""
        ...

    def refuse(
        self, ticket: Ticket, answered_at: float, headers: Mapping[str, str], now: float, retry_after: float | None
    ) -> float | None:
        """A 429 came: pause. Returns for how many seconds; `None` if it belongs to an earlier pause."""
        ...

    def free(self, ticket: Ticket, now: float, *, sent: bool) -> None:
        """No response will come."""
        ...

    def describe(self, now: float, waiting: int) -> LocationQuota:
        """The state of the location, for users."""
        ...

    def is_idle(self, now: float) -> bool:
        """Nothing of it would be missed: a new budget knows as much."""
        ...


class Lane:
    """The queue of one location, and its retry budget."""

    __slots__ = ("__weakref__", "_loop", "_timer", "_timer_at", "_waiters", "budget", "retry_budget")

    def __init__(self, budget: Budget, loop: asyncio.AbstractEventLoop) -> None:
        self.budget = budget
        self.retry_budget = RetryBudget()
        self._loop = loop
        self._waiters = Waiters()
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return self._waiters.live

    def count_waiting(self) -> tuple[int, int]:
        """How many interactive and how many bulk calls wait."""
        return self._waiters.count()

    def try_take(self, *, bulk: bool = False) -> Ticket | None:
        """Take a slot without waiting, if one is free and nobody waits."""
        return None if self._waiters.live else self.budget.take(self._loop.time(), bulk=bulk)

    async def take(
        self, *, bulk: bool = False, deadline: float | None = None, returned: bool = False
    ) -> Ticket | Refused:
        """Wait for a slot behind all of the same class who wait already; refused if that cannot end well.

        `deadline` is a moment of the loop's clock. `returned`: this call has had a slot and returned it unused, so
        it goes before the others.
        """
        now, budget, waiters = self._loop.time(), self.budget, self._waiters
        if (refused := budget.check_day(now, bulk=bulk)) is not None:
            return refused
        if deadline is not None:
            ahead, bulk_ahead = (0, 0) if returned else waiters.count_ahead(bulk=bulk)
            seconds = budget.compute_wait(now, ahead, bulk_ahead if bulk else None)
            if now + seconds >= deadline:
                return Refused("deadline", seconds)
        waiter: Waiter = self._loop.create_future()
        waiters.add(waiter, bulk=bulk, first=returned)
        self.hand_out()
        try:
            return await waiter
        except BaseException:
            self._give_up(waiter, bulk=bulk)
            raise

    def finish(
        self, ticket: Ticket, answered_at: float, headers: Mapping[str, str], *, success: bool = True
    ) -> None:
        """A response came: its slot is free an interval later, and its headers correct the limits."""
        self.budget.finish(ticket, answered_at, headers, success=success)
        if success and not self.retry_budget.is_full:
            self.retry_budget.earn()
        if self._waiters.live:
            self.hand_out()

    def refuse(
        self, ticket: Ticket, answered_at: float, headers: Mapping[str, str], retry_after: float | None
    ) -> float | None:
        """A 429 came: pause the location before anybody else goes.

        Returns for how many seconds; `None` if it belongs to an earlier pause.
        """
        seconds = self.budget.refuse(ticket, answered_at, headers, self._loop.time(), retry_after)
        self.hand_out()
        return seconds

    def free(self, ticket: Ticket, *, sent: bool) -> None:
        """No response will come: the slot is free at once if the request was never sent."""
        self.budget.free(ticket, self._loop.time(), sent=sent)
        self.hand_out()

    def describe(self) -> LocationQuota:
        """The state of the location, for users."""
        now = self._loop.time()
        quota = self.budget.describe(now, self.waiting)
        return structs.replace(quota, retries_remaining=self.retry_budget.count(now))

    def is_idle(self) -> bool:
        """Nothing of it would be missed: a new lane knows as much."""
        now = self._loop.time()
        return not self.waiting and self.budget.is_idle(now) and self.retry_budget.is_idle(now)

    def hand_out(self) -> None:
        """Serve those who wait, in order, for as long as the budget has slots."""
        waiters = self._waiters
        if not waiters.live:
            return
        now = self._loop.time()
        self._refuse_spent(now)
        while (bulk := waiters.choose()) is not None:
            overtaken = bulk and waiters.has(bulk=False)
            ticket = self.budget.take(now, bulk=bulk, overtaken=overtaken)
            if ticket is None and overtaken:  # what the reserve keeps from it may be free for others
                bulk, ticket = False, self.budget.take(now)
            if ticket is None:
                break
            waiters.serve(ticket, bulk=bulk)
            self._refuse_spent(now)
        self._set_timer(now)

    def _refuse_spent(self, now: float) -> None:
        """Refuse those for whom the daily budget is spent: nobody waits for hours."""
        for bulk in (False, True):
            while self._waiters.has(bulk=bulk) and (refused := self.budget.check_day(now, bulk=bulk)) is not None:
                self._waiters.serve(refused, bulk=bulk)

    def _give_up(self, waiter: Waiter, *, bulk: bool) -> None:
        if waiter.cancel() or waiter.cancelled():
            self._waiters.forget(bulk=bulk)
        elif isinstance(ticket := waiter.result(), Ticket):
            self.free(ticket, sent=False)

    def _set_timer(self, now: float) -> None:
        """A timer that fires early does no harm, so it is moved only to an earlier moment."""
        waiters, when = self._waiters, None
        if waiters.live:  # whatever holds interactive calls back holds bulk calls back too
            when = self.budget.compute_next(now, bulk=not waiters.has(bulk=False))
        if self._timer is not None:
            if when is not None and self._timer_at <= when:
                return
            self._timer.cancel()
            self._timer = None
        if when is not None:
            self._timer, self._timer_at = self._loop.call_at(when, self._on_timer), when

    def _on_timer(self) -> None:
        self._timer = None
        self.hand_out()


Waiter: TypeAlias = "asyncio.Future[Ticket | Refused]"
_SWEEP_AT: Final = 64


class Waiters:
    """The waiting calls of both classes, and which one is next."""

    __slots__ = ("_bulk", "_interactive", "_overtaken", "live")

    def __init__(self) -> None:
        self._interactive, self._bulk = Queue(), Queue()
        self._overtaken = 0
        """How many interactive calls in a row went before a bulk call that waited."""
        self.live = 0
        """How many wait."""

    def add(self, waiter: Waiter, *, bulk: bool, first: bool) -> None:
        """Let one more wait; `first`: before all of its class but those who were added so before."""
        queue = self._get(bulk)
        if first:
            queue.add_first(waiter)
        else:
            queue.add(waiter)
        self.live += 1

    def forget(self, *, bulk: bool) -> None:
        """One was cancelled."""
        self._get(bulk).live -= 1
        self.live -= 1

    def serve(self, result: Ticket | Refused, *, bulk: bool) -> None:
        """Give the first of a class what it waits for. Only after `has` or `choose`."""
        self._get(bulk).serve(result)
        self.live -= 1
        if isinstance(result, Ticket):
            self._overtaken = self._overtaken + 1 if not bulk and self._bulk.live else 0

    def has(self, *, bulk: bool) -> bool:
        """Whether one of this class waits."""
        return self._get(bulk).has_next()

    def choose(self) -> bool | None:
        """Whether a bulk call is next; `None` if nobody waits. Interactive before bulk, but not indefinitely."""
        bulk = self._bulk.has_next()
        if self._interactive.has_next() and (not bulk or self._overtaken < _MOST_OVERTAKEN):
            return False
        return True if bulk else None

    def count(self) -> tuple[int, int]:
        """How many interactive and how many bulk calls wait."""
        return self._interactive.live, self._bulk.live

    def count_ahead(self, *, bulk: bool) -> tuple[int, int]:
        """How many are served before one that comes now, at least; and how many of them are bulk calls."""
        if not bulk:
            return self._interactive.live, 0
        overtaking = _MOST_OVERTAKEN * (self._bulk.live + 1) - self._overtaken
        return self._bulk.live + min(self._interactive.live, overtaking), self._bulk.live

    def _get(self, bulk: bool) -> Queue:
        return self._bulk if bulk else self._interactive


class Queue:
    """The waiters of one class, first come first. Cancelled ones are swept."""

    __slots__ = ("_returned", "_waiters", "live")

    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()
        self._returned = 0
        """How many at the head, or a few more, have had a slot before."""
        self.live = 0

    def add(self, waiter: Waiter) -> None:
        if len(self._waiters) - self.live > max(_SWEEP_AT, self.live):
            self._waiters = deque(one for one in self._waiters if not one.done())
        self._waiters.append(waiter)
        self.live += 1

    def add_first(self, waiter: Waiter) -> None:
        """One that has returned its slot: before all but those who did so earlier."""
        self._waiters.insert(self._returned, waiter)
        self._returned += 1
        self.live += 1

    def has_next(self) -> bool:
        """Drop those that were cancelled; tell whether one remains."""
        waiters = self._waiters
        while waiters and waiters[0].done():
            self._pop()
        return bool(waiters)

    def serve(self, result: Ticket | Refused) -> None:
        """Only after `has_next`."""
        self._pop().set_result(result)
        self.live -= 1

    def _pop(self) -> Waiter:
        self._returned = max(0, self._returned - 1)
        return self._waiters.popleft()
