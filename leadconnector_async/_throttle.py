"""Waiting for a slot: first come, first served, per location, with one timer each.

Rule: no lock is held over a wait. A waiter is a future in a queue; slots are handed out by whoever frees them
or by the one timer, and a waiter that is cancelled, even in the very turn in which it is granted, gives its
slot back.

Knows the arithmetic (`_quota`); must not import the pipeline or the transport.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from ._quota import Slots
from .policy import RateLimit


class Lane:
    """The queue of one location."""

    __slots__ = ("_loop", "_resumed", "_timer", "_waiters", "slots")

    def __init__(self, limit: RateLimit, loop: asyncio.AbstractEventLoop) -> None:
        self.slots = Slots(limit.max_requests, limit.interval)
        self._loop = loop
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._resumed = True

    def try_take(self) -> bool:
        """Take a slot without waiting, if one is free and nobody waits."""
        return not self._waiters and self.slots.take(self._loop.time())

    async def take(self) -> None:
        """Wait for a slot behind all who wait already."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        self._hand_out()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.free(left=False)
            raise

    def finish(self, answered_at: float, headers: Mapping[str, str], *, success: bool = True) -> None:
        """An answer came: its slot cools down, its headers correct the limits."""
        self.slots.finish(answered_at)
        self.slots.learn(headers, success=success)
        self._hand_out()

    def free(self, *, left: bool) -> None:
        """No answer will come: the slot cools down if the request left, and is free at once if it did not."""
        if left:
            self.slots.cut(self._loop.time())
        else:
            self.slots.give_back()
        self._hand_out()

    def pause(self, seconds: float, sent_at: float) -> bool:
        """Pause the location; `False` if this refusal belongs to a pause that was said already."""
        if not self.slots.pause(self._loop.time(), seconds, sent_at):
            return False
        self._resumed = False
        self._hand_out()
        return True

    def measure_pause(self) -> float:
        """Seconds that the location still pauses."""
        return max(0.0, self.slots.paused_until - self._loop.time())

    def claim_resumption(self) -> float | None:
        """The seconds that the last pause took, to the first who asks after its end; `None` to all others."""
        if self._resumed or self._loop.time() < self.slots.paused_until:
            return None
        self._resumed = True
        return self._loop.time() - self.slots.paused_at

    def _hand_out(self) -> None:
        waiters = self._waiters
        if not waiters:
            return
        now = self._loop.time()
        while waiters:
            if not waiters[0].done():
                if not self.slots.take(now):
                    break
                waiters[0].set_result(None)
            waiters.popleft()
        self._set_timer(now)

    def _set_timer(self, now: float) -> None:
        when = self.slots.compute_next(now) if self._waiters else None
        if self._timer is not None:
            if self._timer.when() == when:
                return
            self._timer.cancel()
        self._timer = None if when is None else self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._hand_out()


class Throttle:
    """The lanes of all locations: a busy one never delays an idle one."""

    __slots__ = ("_lanes", "_limit")

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._lanes: dict[str | None, Lane] = {}

    def find_lane(self, location_id: str | None, loop: asyncio.AbstractEventLoop) -> Lane:
        """The lane of a location, made on first use."""
        lane = self._lanes.get(location_id)
        if lane is None:
            lane = self._lanes[location_id] = Lane(self._limit, loop)
        return lane
