"""Tickets: an engine hands the locations of jobs to workers, each with a ticket that names one.

A ticket promises nothing and owns nothing: a location is taken in the journal, which also says what is to be done
there. Tickets that are lost are written again from the journal, and one too many does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct


class Ticket(Struct, frozen=True):
    """A location of a job that is to be worked on."""

    job: int
    location: str


Work: TypeAlias = Callable[[Ticket], Awaitable[None]]
"""What is done with a ticket. Must not raise, and must end when it is cancelled."""


class Tickets(Protocol):
    """An engine. Raises `StoreUnavailableError` if it cannot be reached, and `ConfigurationError`."""

    async def defer(self, tickets: Sequence[Ticket]) -> None:
        """Write tickets, to be handed out in this order, except those that are waiting already."""
        ...

    async def work(self, run: Work, slots: int, stopping: asyncio.Event) -> None:
        """Hand tickets to `run`, at most `slots` at a time, until `stopping` is set and those that run have ended.

        An outage is waited out. If this is cancelled, so are they.
        """
        ...

    async def clean(self) -> None:
        """Remove the tickets of workers that are dead."""
        ...

    async def aclose(self) -> None:
        """Close its connections. The next use opens them again."""
        ...
