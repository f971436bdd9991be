"""An engine that loses tickets and hands some out twice."""

import asyncio
import random
from collections.abc import Sequence

from leadconnector_async.jobs.tickets import Ticket, Work

POLL = 0.5


class Engine:
    """The tickets that are waiting, for all processes."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.waiting: list[Ticket] = []
        self.lose = self.double = 0.0
        """Probabilities."""


class SimulatedTickets:
    """The engine as one process uses it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def defer(self, tickets: Sequence[Ticket]) -> None:
        """Write tickets, except those that are waiting already."""
        engine = self._engine
        await asyncio.sleep(engine.dice.uniform(0, 0.02))
        for ticket in tickets:
            if ticket not in engine.waiting and engine.dice.random() >= engine.lose:
                engine.waiting.append(ticket)
                if engine.dice.random() < engine.double:
                    engine.waiting.append(ticket)

    async def work(self, run: Work, slots: int, stopping: asyncio.Event) -> None:
        """Hand tickets to `run`, at most `slots` at a time, until `stopping` is set and the last one has ended."""
        engine = self._engine
        running: dict[asyncio.Task[None], Ticket] = {}
        try:
            while not stopping.is_set():
                while engine.waiting and len(running) < slots:
                    ticket = engine.waiting.pop(0)
                    if engine.dice.random() >= engine.lose:
                        task = asyncio.ensure_future(run(ticket))
                        running[task] = ticket
                        task.add_done_callback(running.pop)
                await asyncio.sleep(POLL * engine.dice.uniform(0.5, 1))
            if running:
                await asyncio.wait(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def clean(self) -> None:
        """Nothing is kept of those that run."""

    async def aclose(self) -> None:
        """No connections."""
