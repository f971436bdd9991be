"""What a job should do: its runs in this process obey one `Control`, which is kept in step with the row of the job.

Any process may pause or cancel the job or change its rate by writing to that row; `follow` notices within half a
second. Outside of the job's hours, it waits as if it were paused, until they begin.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

from msgspec import structs

from ..exceptions import JournalError
from .journal.instructions import Instructions, Wanted, read_instructions
from .journal.writer import JournalWriter
from .states import JobOptions

TICK: Final = 0.5
"""Seconds between two reads of the row of a job."""
_LONGEST_SLEEP: Final = 30.0
"""Seconds until the clock is looked at again: it may have been set, and the machine may have slept."""


class Control:
    """What a job should do, as far as this process knows."""

    def __init__(self, options: JobOptions) -> None:
        self.options = options
        """The current options: the rate may change while the job runs."""
        self.wanted: Wanted = "run"
        self.opens_at: float | None = None
        """When the hours of the job begin, in seconds since the epoch; `None` within them. `keep_hours` sets it."""
        self._rate = options.rate
        """The rate last read from the journal."""
        self._obey: dict[object, Callable[[], None]] = {}

    @property
    def may_send(self) -> bool:
        """Whether rows may be sent now."""
        return self.wanted == "run" and self.opens_at is None

    @property
    def is_waiting(self) -> bool:
        """Whether the job is paused, or outside of its hours."""
        return self.wanted == "pause" or (self.wanted == "run" and self.opens_at is not None)

    def update(self, wanted: Wanted, options: JobOptions) -> bool:
        """Set what the job should do, at once; returns whether anything has changed."""
        if (wanted, options) == (self.wanted, self.options):
            return False
        self.wanted, self.options = wanted, options
        self.notify()
        return True

    def obey(self, instructions: Instructions) -> bool:
        """Apply what the row of the job says; returns whether anything has changed."""
        options = self.options
        if instructions.rate != self._rate:
            self._rate = instructions.rate
            options = structs.replace(options, rate=instructions.rate)
        return self.update(instructions.wanted, options)

    def look_at_clock(self, now: float) -> None:
        """Compare the hours of the job with the time, in seconds since the epoch."""
        hours = self.options.hours
        opens_at = None if hours is None else hours.find_opening(now)
        if opens_at != self.opens_at:
            self.opens_at = opens_at
            self.notify()

    def notify(self) -> None:
        """Call everything registered by `obeyed_by`."""
        for obey in tuple(self._obey.values()):
            obey()

    @contextmanager
    def obeyed_by(self, obey: Callable[[], None]) -> Generator[None]:
        """Call `obey` after every change, inside this context."""
        key = object()
        self._obey[key] = obey
        try:
            yield
        finally:
            del self._obey[key]

    async def wait_for_change(self) -> None:
        """Return after the next change."""
        changed = asyncio.Event()
        with self.obeyed_by(changed.set):
            await changed.wait()


async def follow(control: Control, journal: JournalWriter) -> None:
    """Keep a `Control` in step with the row of the job. Runs until it is cancelled."""
    while True:
        await asyncio.sleep(TICK)
        with suppress(JournalError):  # a busy database; if it is more than that, the run fails as well
            control.obey(await journal.run(read_instructions))


@contextmanager
def keep_hours(control: Control) -> Generator[None]:
    """Inside this context, `may_send` of a `Control` changes when the hours of its job begin or end."""
    control.look_at_clock(time.time())
    task = asyncio.get_running_loop().create_task(_look_at_clock(control))
    try:
        yield
    finally:
        task.cancel()


async def _look_at_clock(control: Control) -> None:
    while True:
        hours, now = control.options.hours, time.time()
        seconds = None if hours is None else min(max(0.0, hours.find_change(now) - now), _LONGEST_SLEEP)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await control.wait_for_change()
        control.look_at_clock(time.time())


async def wait_while_paused(control: Control, is_stopped: Callable[[], bool]) -> None:
    """Wait until the job is no longer paused, or is stopped; outside of its hours, until they begin."""
    while control.is_waiting and not is_stopped():
        await control.wait_for_change()
