"""The waiters for slots of one location: interactive calls before bulk calls, first come first served."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from .._retry.budget import RetryBudget
from ..policy import RateLimit
from .daily import DailyBudget
from .headers import LocationQuota
from .slots import Slots, Ticket

_MOST_OVERTAKEN: Final = 4
"""How often in a row interactive calls go before a bulk call that waits."""
_JITTER: Final = 0.05
"""By how much, as a part of it, a pause is made longer at random: programs on one location part company."""
_SHORTEST_PAUSE: Final = 0.1
"""As a part of the interval: a hint of nothing would have the location hammered."""
_PAUSE_REASON: Final = "the server refused a request for its rate (429)"
CLOCK_LAG: Final = 0.002 + time.get_clock_info("monotonic").resolution
"""By how many seconds a loop's clock may be behind: uvloop's counts in milliseconds, that of Windows in ticks."""


class Lane:
    """The queue of one location."""

    __slots__ = (
        "_bulk",
        "_interactive",
        "_loop",
        "_overtaken",
        "_reserve",
        "_resumed",
        "_timer",
        "_timer_at",
        "budget",
        "daily",
        "slots",
    )

    def __init__(self, limit: RateLimit, loop: asyncio.AbstractEventLoop, lag: float = 0.0) -> None:
        self.slots = Slots(limit.max_requests, limit.interval, lag)
        self.daily = DailyBudget(limit.daily)
        self.budget = RetryBudget()
        self._reserve = limit.daily_reserve
        self._loop = loop
        self._interactive = Queue()
        self._bulk = Queue()
        self._overtaken = 0
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf
        self._resumed = True

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return self._interactive.live + self._bulk.live

    def try_take(self, *, bulk: bool = False) -> Ticket | None:
        """Take a slot without waiting, if one is free and nobody waits."""
        if self._interactive.live or self._bulk.live or self.daily.remaining <= (self._reserve if bulk else 0):
            return None
        now, daily = self._loop.time(), self.daily
        ticket = self.slots.take(now)
        if ticket is not None:
            if daily.only_counts:
                daily.remaining -= 1
            else:
                daily.take(now)
        return ticket

    async def take(
        self, *, bulk: bool = False, deadline: float | None = None, returned: bool = False
    ) -> Ticket | Refused:
        """Wait for a slot behind all of the same class who wait already; refused if that cannot end well.

        `deadline` is a moment of the loop's clock. `returned`: this call has had a slot and given it back unused,
        so it goes before the others.
        """
        refused = self._foresee(bulk, deadline, returned)
        if refused is not None:
            return refused
        queue = self._bulk if bulk else self._interactive
        waiter: Waiter = self._loop.create_future()
        if returned:
            queue.add_first(waiter)
        else:
            queue.add(waiter)
        self._hand_out()
        try:
            return await waiter
        except BaseException:
            self._give_up(queue, waiter)
            raise

    def finish(
        self, ticket: Ticket, answered_at: float, headers: Mapping[str, str], *, success: bool = True
    ) -> None:
        """An answer came: its slot cools down, its headers correct the limits."""
        self.slots.finish(ticket, answered_at, headers, success=success)
        self.daily.learn(ticket.number, self.slots.sent, headers, answered_at, success=success)
        if success and not self.budget.is_full:
            self.budget.earn()
        if self._interactive.live or self._bulk.live:
            self._hand_out()

    def refuse(
        self,
        ticket: Ticket,
        answered_at: float,
        headers: Mapping[str, str],
        retry_after: float | None,
    ) -> float | None:
        """An answer came, a refusal for the rate: pause the location before anybody else goes.

        Returns for how many seconds; `None` if it belongs to a pause that was said already.
        """
        self.slots.finish(ticket, answered_at, headers, success=False, refused=True)
        self.daily.learn(ticket.number, self.slots.sent, headers, answered_at, success=False)
        seconds = self._draw_pause(retry_after)
        paused = self.slots.pause(ticket, self._loop.time(), seconds)
        if paused:
            self._resumed = False
        self._hand_out()
        return seconds if paused else None

    def free(self, ticket: Ticket, *, left: bool) -> None:
        """No answer will come: the slot cools down if the request left, and is free at once if it did not."""
        if left:
            self.slots.cut(ticket, self._loop.time())
        else:
            self.slots.give_back(ticket)
            self.daily.give_back(ticket.number)
        self._hand_out()

    def measure_pause(self) -> float:
        """Seconds that the location still pauses."""
        return max(0.0, self.slots.paused_until - self._loop.time())

    def measure_daily_wait(self) -> float | None:
        """Seconds until it is worth asking again, where the day is spent; else `None`."""
        return self.daily.compute_wait(self._loop.time(), 0)

    def claim_resumption(self) -> float | None:
        """The seconds that the last pause took, to the first who asks after its end; `None` to all others."""
        if self._resumed or self._loop.time() < self.slots.paused_until:
            return None
        self._resumed = True
        return self.slots.paused_until - self.slots.paused_at

    def describe(self) -> LocationQuota:
        """The state of the location, for users."""
        now = self._loop.time()
        slots, daily = self.slots, self.daily
        paused_seconds = self.measure_pause()
        return LocationQuota(
            limit=slots.limit.max_requests,
            interval=slots.limit.interval,
            remaining=slots.count_free(now),
            in_flight=slots.in_flight,
            waiting=self.waiting,
            mode=slots.pace.decide_mode(now, slots.limit.interval),
            paused_seconds=paused_seconds,
            pause_reason=_PAUSE_REASON if paused_seconds else None,
            daily_limit=daily.limit,
            daily_remaining=max(0, daily.remaining),
            daily_reset=daily.measure_reset(now),
        )

    def is_idle(self) -> bool:
        """Nothing of it would be missed: a new lane knows as much."""
        now = self._loop.time()
        parts = (self.slots, self.daily, self.budget)
        return not self.waiting and all(part.is_idle(now) for part in parts)

    def _draw_pause(self, retry_after: float | None) -> float:
        interval = self.slots.limit.interval
        seconds = interval if retry_after is None else max(retry_after, interval * _SHORTEST_PAUSE)
        return seconds * (1 + random.uniform(0, _JITTER))  # noqa: S311 - spreads load, guards nothing

    def _take(self, now: float) -> Ticket | None:
        ticket = self.slots.take(now)
        if ticket is not None:
            self.daily.take(now)
        return ticket

    def _foresee(self, bulk: bool, deadline: float | None, returned: bool) -> Refused | None:
        now = self._loop.time()
        seconds = self.daily.compute_wait(now, self._reserve if bulk else 0)
        if seconds is not None:
            return self._refuse_day(seconds)
        if deadline is None:
            return None
        seconds = self.slots.compute_wait(now, 0 if returned else self._count_ahead(bulk))
        return Refused("deadline", seconds) if now + seconds >= deadline else None

    def _refuse_day(self, seconds: float) -> Refused:
        return Refused("daily" if self.daily.knows_reset else "daily_unknown", seconds)

    def _count_ahead(self, bulk: bool) -> int:
        """How many are served before one that comes now, at least."""
        if not bulk:
            return self._interactive.live
        overtaking = _MOST_OVERTAKEN * (self._bulk.live + 1) - self._overtaken
        return self._bulk.live + min(self._interactive.live, overtaking)

    def _give_up(self, queue: Queue, waiter: Waiter) -> None:
        if waiter.cancel() or waiter.cancelled():
            queue.live -= 1
        elif isinstance(ticket := waiter.result(), Ticket):
            self.free(ticket, left=False)

    def _hand_out(self) -> None:
        if not self.waiting:
            return
        now = self._loop.time()
        while queue := self._choose(now):
            ticket = self._take(now)
            if ticket is None:
                break
            self._overtaken = self._overtaken + 1 if queue is self._interactive and self._bulk.live else 0
            queue.serve(ticket)
        self._set_timer(now)

    def _refuse_all(self, queue: Queue, reserve: int, now: float) -> None:
        """The day is spent: nobody waits for hours."""
        if not queue.live or self.daily.remaining > reserve:
            return
        seconds = self.daily.compute_wait(now, reserve)
        while seconds is not None and queue.has_next():
            queue.serve(self._refuse_day(seconds))

    def _choose(self, now: float) -> Queue | None:
        """Interactive before bulk, but not for ever."""
        self._refuse_all(self._interactive, 0, now)
        self._refuse_all(self._bulk, self._reserve, now)
        bulk = self._bulk.has_next()
        if self._interactive.has_next() and (not bulk or self._overtaken < _MOST_OVERTAKEN):
            return self._interactive
        return self._bulk if bulk else None

    def _set_timer(self, now: float) -> None:
        """A timer that fires early does no harm, so it is moved only to an earlier moment."""
        when = self.slots.compute_next(now) if self.waiting else None
        if self._timer is not None:
            if when is not None and self._timer_at <= when:
                return
            self._timer.cancel()
            self._timer = None
        if when is not None:
            self._timer, self._timer_at = self._loop.call_at(when, self._on_timer), when

    def _on_timer(self) -> None:
        self._timer = None
        self._hand_out()


_SWEEP_AT: Final = 64


class Refused(Struct, frozen=True):
    """A wait that is not worth beginning, or going on with."""

    reason: Literal["daily", "daily_unknown", "deadline"]
    """`daily_unknown`: the day's budget is spent, and the server did not say until when."""
    seconds: float
    """Until the daily budget is back, or one may look, or until a slot would have been free."""


Waiter: TypeAlias = "asyncio.Future[Ticket | Refused]"


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
        """One that has had its turn and returned its slot: before all but those who did so earlier."""
        self._waiters.insert(self._returned, waiter)
        self._returned += 1
        self.live += 1

    def has_next(self) -> bool:
        """Drop who was cancelled; tell whether somebody is left."""
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
