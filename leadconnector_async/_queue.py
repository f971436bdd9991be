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
