"""Bounding attempts: one timer for all that are under way.

All attempts of a client have the same bound, so the first to begin is the first to expire, and a queue with a
single timer at its head does what a timer for each attempt would do at many times the cost.

Rule: an attempt that expires is cancelled from inside, and that cancellation is told apart from one that came
from outside, which always wins.

Must not import anything of the package.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Bound:
    """One attempt under way."""

    __slots__ = ("_cancelling", "_expired", "expires_at", "task")

    def __init__(self, task: asyncio.Task[object], expires_at: float) -> None:
        self.task: asyncio.Task[object] | None = task
        self.expires_at = expires_at
        self._cancelling = task.cancelling()
        self._expired = False

    def expire(self) -> None:
        """Cancel the attempt."""
        if self.task is not None:
            self._expired = True
            self.task.cancel()

    def claim(self) -> bool:
        """Tell whether the cancellation at hand is this bound's own, and if so take it back."""
        return self._expired and self.task is not None and self.task.uncancel() <= self._cancelling


class Watch:
    """The bound of all attempts of a client: `seconds` from their beginning."""

    __slots__ = ("_loop", "_queue", "_timer", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[Bound] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> Bound:
        """Watch over the current task until `end`."""
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a call must be awaited inside a task")
        bound = Bound(task, loop.time() + self.seconds)
        self._queue.append(bound)
        if self._timer is None:
            self._loop = loop
            self._timer = loop.call_at(bound.expires_at, self._sweep)
        return bound

    def end(self, bound: Bound) -> None:
        """The attempt is over."""
        bound.task = None
        queue = self._queue
        while queue and queue[0].task is None:
            queue.popleft()

    def _sweep(self) -> None:
        self._timer = None
        if self._loop is None:
            return
        queue = self._queue
        while queue and queue[0].expires_at <= self._loop.time():
            queue.popleft().expire()
        if queue:
            self._timer = self._loop.call_at(queue[0].expires_at, self._sweep)
