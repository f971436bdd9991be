"""Timeouts of attempts: one timer for all that are in progress.

A heap with a single timer for its head costs a fraction of one timer per attempt. All copies of a client share it,
so that none of them leaves a timer of its own behind. If all timeouts are equal, the first to begin is the first
to expire, and the heap is a queue.

An attempt that expires is cancelled from inside. That cancellation is distinguished from one that came from
outside, which always wins.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count

from msgspec import Struct

from .._secret import Masked


def is_cancelled() -> bool:
    """Whether the current task itself was cancelled. If not, a `CancelledError` comes from what it awaited."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class TimeLimit(Masked, Struct, eq=False):
    """One attempt in progress."""

    task: asyncio.Task[object] | None
    """`None` as soon as it is over."""
    cancelling: int
    """How many cancellations of the task were requested when it began."""
    expired: bool = False

    def expire(self) -> None:
        """Cancel the attempt."""
        if self.task is not None:
            self.expired = True
            self.task.cancel()

    def claim(self) -> bool:
        """Whether the current cancellation is this timeout's own; if so, it is undone."""
        if not self.expired or self.task is None:
            return False
        self.expired = False
        return self.task.uncancel() <= self.cancelling

    def end(self) -> None:
        """The attempt is over. A cancellation that it swallowed is undone."""
        if self.expired:
            self.claim()
        self.task = None


class AttemptTimer:
    """The timeouts of all attempts of a client and its copies."""

    __slots__ = ("_loop", "_numbers", "_timer", "_timer_at", "bounds")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self.bounds: list[tuple[float, int, TimeLimit]] = []
        """A heap. Of those that have ended, some may still be in it."""
        self._numbers = count()
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0

    def begin(self, loop: asyncio.AbstractEventLoop, expires_at: float) -> TimeLimit:
        """Cancel the current task at that time of the loop's clock, unless the returned limit is ended before."""
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a call must be awaited inside a task")
        bound, bounds = TimeLimit(task, task.cancelling()), self.bounds
        while bounds and bounds[0][2].task is None:
            heappop(bounds)
        heappush(bounds, (expires_at, next(self._numbers), bound))
        if self._timer is None or expires_at < self._timer_at:
            self._loop = loop
            self._set_timer(loop, expires_at)
        return bound

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leave no timer behind in this loop, unless an attempt is in progress."""
        if self._timer is not None and self._loop is loop and not self._drop_ended():
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = loop.call_at(when, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        loop = self._loop
        if loop is None:
            return
        while (bounds := self._drop_ended()) and bounds[0][0] <= loop.time():
            heappop(bounds)[2].expire()
        if bounds:
            self._set_timer(loop, bounds[0][0])

    def _drop_ended(self) -> list[tuple[float, int, TimeLimit]]:
        """Those in progress, and ended ones behind the first of them."""
        bounds = self.bounds
        while bounds and bounds[0][2].task is None:
            heappop(bounds)
        return bounds
