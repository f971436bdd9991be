"""The task queue of the workers: each ticket asks a worker to look after one location of a job.

A ticket is only a hint: ownership and the work to do are in the journal. Lost tickets are written again from the
journal, and a surplus ticket does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct


class Ticket(Struct, frozen=True):
    """A location of a job that needs a worker."""

    job: int
    location: str


Work: TypeAlias = Callable[[Ticket], Awaitable[None]]
"""Handles a ticket. Must not raise, and must end when it is cancelled."""


class Tickets(Protocol):
    """A queue of tickets. Raises `StoreUnavailableError` if it cannot be reached, and `ConfigurationError`."""

    async def defer(self, tickets: Sequence[Ticket]) -> None:
        """Queue tickets, in this order, except those that are already waiting."""
        ...

    async def work(self, run: Work, slots: int, stopping: asyncio.Event) -> None:
        """Hand tickets to `run`, at most `slots` at a time, until `stopping` is set and those that run have ended.

        Waits while the queue is unreachable. If this is cancelled, so are the calls of `run`.
        """
        ...

    async def clean(self) -> None:
        """Remove the tickets of dead workers."""
        ...

    async def aclose(self) -> None:
        """Close its connections. The next use opens them again."""
        ...
