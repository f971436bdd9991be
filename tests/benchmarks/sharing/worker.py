"""One of the processes: does what each line of standard input says, and writes what came of it.

A line is a `Task`. The process opens its client and writes `ready`; the next line is the moment to begin at, by the
machine's monotonic clock. Then it writes its `Outcome`. It ends when standard input does.
"""

import asyncio
import logging
import sys
import time
from contextlib import suppress

import msgspec
from msgspec import Struct, field

from leadconnector_async import LeadConnector, LeadConnectorError

from .callers import CALLERS, Caller, Exchanges, Setting

QuotaShown = dict[str, object]


class Task(Struct, frozen=True):
    """What to do: so many calls at once, or calls one after the other in so many lanes for a while."""

    setting: Setting
    calls: int = 0
    seconds: float = 0.0
    lanes: int = 50
    every: float = 0.0
    """In a lane, a call begins this long after the one before; 0: when that one has ended."""
    look_at: tuple[float, ...] = ()
    """Moments at which `client.quota` is read, in seconds from the beginning."""


class Outcome(Struct):
    """What came of it."""

    done: list[float] = field(default_factory=list)
    """When each call ended, by the monotonic clock."""
    took: list[float] = field(default_factory=list)
    """Seconds of each call."""
    failures: list[str] = field(default_factory=list)
    exchanges: int = 0
    quotas: list[QuotaShown] = field(default_factory=list)


class Work:
    """One task under way."""

    def __init__(self, task: Task, call: Caller, client: LeadConnector | None) -> None:
        self._task, self._call, self._client = task, call, client
        self._ids = task.setting.place.event_ids
        self._outcome = Outcome()

    async def run(self, begin: float) -> Outcome:
        """Everything."""
        task = self._task
        await asyncio.sleep(max(0.0, begin - time.monotonic()))
        looking = asyncio.create_task(self._look(begin))
        if task.calls:
            await asyncio.gather(*(self._time(number) for number in range(task.calls)))
        else:
            lanes = [self._go_on(number, begin) for number in range(task.lanes)]
            await asyncio.gather(*lanes)
        await looking
        return self._outcome

    async def _go_on(self, number: int, begin: float) -> None:
        end, turn = begin + self._task.seconds, begin
        while (now := time.monotonic()) < end:
            await self._time(number)
            turn = max(now, turn + self._task.every)
            if self._task.every:
                await asyncio.sleep(max(0.0, turn - time.monotonic()))

    async def _time(self, number: int) -> None:
        began = time.monotonic()
        try:
            await self._call(self._ids[number % len(self._ids)])
        except LeadConnectorError as error:
            self._outcome.failures.append(repr(error))
            return
        self._outcome.done.append(time.monotonic())
        self._outcome.took.append(time.monotonic() - began)

    async def _look(self, begin: float) -> None:
        for moment in self._task.look_at if self._client else ():
            await asyncio.sleep(max(0.0, begin + moment - time.monotonic()))
            assert self._client is not None
            self._outcome.quotas.append(msgspec.to_builtins(self._client.quota))


async def read_line() -> bytes:
    return await asyncio.to_thread(sys.stdin.buffer.readline)


def write_line(content: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(content) + b"\n")
    sys.stdout.buffer.flush()


async def run_task(task: Task) -> None:
    exchanges = Exchanges()
    async with CALLERS[task.setting.caller](task.setting, exchanges) as (call, client):
        write_line("ready")
        begin = float(await read_line())
        outcome = await Work(task, call, client).run(begin)
        outcome.exchanges = exchanges.count
        write_line(outcome)


async def main() -> None:
    logging.getLogger("leadconnector_async").addHandler(
        logging.NullHandler()
    )  # that a store is lost is no news here
    while line := await read_line():
        await run_task(msgspec.json.decode(line, type=Task))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
