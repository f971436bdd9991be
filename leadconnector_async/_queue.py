"""Those who wait for a slot, first come first served; whoever was cancelled is swept.

Rule: nothing here decides whose turn it is.

Must not import the arithmetic's state: it hands out what it is given.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from ._slots import Ticket

_SWEEP_AT: Final = 64


class Refused(Struct, frozen=True):
    """A wait that is not worth beginning, or going on with."""

    reason: Literal["daily", "deadline"]
    seconds: float
    """Until the daily budget is back, or until a slot would have been free."""


Waiter: TypeAlias = "asyncio.Future[Ticket | Refused]"


class Queue:
    """The waiters of one class, first come first. Cancelled ones are swept."""

    __slots__ = ("_waiters", "live")

    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()
        self.live = 0

    def add(self, waiter: Waiter) -> None:
        if len(self._waiters) - self.live > max(_SWEEP_AT, self.live):
            self._waiters = deque(one for one in self._waiters if not one.done())
        self._waiters.append(waiter)
        self.live += 1

    def has_next(self) -> bool:
        """Drop who was cancelled; tell whether somebody is left."""
        waiters = self._waiters
        while waiters and waiters[0].done():
            waiters.popleft()
        return bool(waiters)

    def serve(self, result: Ticket | Refused) -> None:
        """Only after `has_next`."""
        self._waiters.popleft().set_result(result)
        self.live -= 1
