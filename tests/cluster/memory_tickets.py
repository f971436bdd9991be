"""An engine in memory, for tests of what is above it: the same promises, and no database."""

import asyncio
from collections.abc import Sequence

from leadconnector_async.jobs.tickets import Ticket, Work


class MemoryTickets:
    """Those that several workers share, if they are given the same object."""

    def __init__(self) -> None:
        self.waiting: dict[Ticket, None] = {}
        self._changed = asyncio.Event()

    async def defer(self, tickets: Sequence[Ticket]) -> None:
        self.waiting.update(dict.fromkeys(tickets))
        self._changed.set()

    async def work(self, run: Work, slots: int, stopping: asyncio.Event) -> None:
        running = set[asyncio.Task[None]]()
        stop = asyncio.ensure_future(stopping.wait())
        try:
            while not stopping.is_set():
                while self.waiting and len(running) < slots:
                    ticket = next(iter(self.waiting))
                    del self.waiting[ticket]
                    running.add(asyncio.ensure_future(run(ticket)))
                self._changed.clear()
                changed = asyncio.ensure_future(self._changed.wait())
                try:
                    await asyncio.wait([stop, changed, *running], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                running = {one for one in running if not one.done()}
            if running:
                await asyncio.wait(running)
        except asyncio.CancelledError:
            for one in running:
                one.cancel()
            if running:
                await asyncio.wait(running)
            raise
        finally:
            stop.cancel()

    async def clean(self) -> None:
        """A worker that is dead took its tickets along."""

    async def aclose(self) -> None:
        """Nothing to close."""
