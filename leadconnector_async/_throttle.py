"""Waiting for a slot: per location, with one timer each, interactive calls before bulk calls.

Rule: no lock is held over a wait. A waiter is a future in a queue (`_queue`); slots are handed out by whoever
frees them or by the one timer, and a waiter that is cancelled, even in the very turn in which it is granted,
gives its slot back. Within a class, first come is first served. A bulk call that has been overtaken a few times
in a row is the next.

Knows the arithmetic (`_slots`, `_daily`, `_budget`); must not import the pipeline or the transport.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Mapping
from typing import Final

from ._budget import RetryBudget
from ._daily import Daily
from ._queue import Queue, Refused, Waiter
from ._quota import LocationQuota
from ._slots import Slots, Ticket
from .policy import RateLimit

_MOST_OVERTAKEN: Final = 4
"""How often in a row interactive calls go before a bulk call that waits."""
_JITTER: Final = 0.05
"""By how much, as a part of it, a pause is made longer at random: programs on one location part company."""
_SHORTEST_PAUSE: Final = 0.1
"""As a part of the interval: a hint of nothing would have the location hammered."""
_PAUSE_REASON: Final = "the server refused a request for its rate (429)"
CLOCK_LAG: Final = 0.002 + time.get_clock_info("monotonic").resolution
"""By how many seconds a loop's clock may be behind: uvloop's counts in milliseconds, that of Windows in ticks."""
_SWEEP_AT: Final = 64
"""From how many lanes on idle ones are looked for."""


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
        self.daily = Daily(limit.daily)
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
        return self._take(self._loop.time())

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
        hint_seconds: float | None,
    ) -> float | None:
        """An answer came, a refusal for the rate: pause the location before anybody else goes.

        Returns for how many seconds; `None` if it belongs to a pause that was said already.
        """
        self.slots.finish(ticket, answered_at, headers, success=False, refused=True)
        self.daily.learn(ticket.number, self.slots.sent, headers, answered_at, success=False)
        seconds = self._draw_pause(hint_seconds)
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

    def _draw_pause(self, hint_seconds: float | None) -> float:
        interval = self.slots.limit.interval
        seconds = interval if hint_seconds is None else max(hint_seconds, interval * _SHORTEST_PAUSE)
        return seconds * (1 + random.uniform(0, _JITTER))  # noqa: S311 - spreads load, guards nothing

    def _take(self, now: float) -> Ticket | None:
        ticket, daily = self.slots.take(now), self.daily
        if ticket is not None:
            if daily.only_counts:
                daily.remaining -= 1
            else:
                daily.take(now)
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


class Throttle:
    """The lanes of all locations: a busy one never delays an idle one, and an idle one costs nothing.

    `lag`: by how many seconds the loop's clock may be behind.
    """

    __slots__ = ("_lag", "_lanes", "_limit", "_sweep_at")

    def __init__(self, limit: RateLimit, lag: float = 0.0) -> None:
        self._limit = limit
        self._lag = lag
        self._lanes: dict[str | None, Lane] = {}
        self._sweep_at = _SWEEP_AT

    def find_lane(self, location_id: str | None, loop: asyncio.AbstractEventLoop) -> Lane:
        """The lane of a location, made on first use."""
        lane = self._lanes.get(location_id)
        if lane is None:
            if len(self._lanes) >= self._sweep_at:
                self._sweep()
            lane = self._lanes[location_id] = Lane(self._limit, loop, self._lag)
        return lane

    def get_lane(self, location_id: str | None) -> Lane | None:
        """The lane of a location, if it was used."""
        return self._lanes.get(location_id)

    def describe(self, location_id: str | None) -> LocationQuota:
        """The state of a location, used or not."""
        lane = self._lanes.get(location_id)
        if lane is not None:
            return lane.describe()
        limit = self._limit
        return LocationQuota(
            limit=limit.max_requests,
            interval=limit.interval,
            remaining=limit.max_requests,
            daily_limit=limit.daily,
            daily_remaining=limit.daily,
        )

    def _sweep(self) -> None:
        """Forget the idle lanes."""
        self._lanes = {key: lane for key, lane in self._lanes.items() if not lane.is_idle()}
        self._sweep_at = max(_SWEEP_AT, 2 * len(self._lanes))
