"""What a job should do: its runs in this process obey one `Control`, which is kept in step with the row of the job.

Any process may pause or cancel the job or change its rate by writing to that row; `follow` notices within half a
second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

from msgspec import structs

from ..exceptions import JournalError
from .journal.wishes import Wanted, Wishes, read_wishes
from .journal.writer import JournalWriter
from .states import JobOptions

TICK: Final = 0.5
"""Seconds between two reads of the row of a job."""


class Control:
    """What a job should do, as far as this process knows."""

    def __init__(self, options: JobOptions) -> None:
        self.options = options
        """The current options: the rate may change while the job runs."""
        self.wanted: Wanted = "run"
        self._rate = options.rate
        """The rate last read from the journal."""
        self._obey: dict[object, Callable[[], None]] = {}

    def update(self, wanted: Wanted, options: JobOptions) -> bool:
        """Set what the job should do, at once; returns whether anything has changed."""
        if (wanted, options) == (self.wanted, self.options):
            return False
        self.wanted, self.options = wanted, options
        self.notify()
        return True

    def obey(self, wishes: Wishes) -> bool:
        """Apply what the row of the job says; returns whether anything has changed."""
        options = self.options
        if wishes.rate != self._rate:
            self._rate = wishes.rate
            options = structs.replace(options, rate=wishes.rate)
        return self.update(wishes.wanted, options)

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
            control.obey(await journal.run(read_wishes))


async def wait_while_paused(control: Control, is_stopped: Callable[[], bool]) -> None:
    """Wait until the job is no longer paused, or is stopped."""
    while control.wanted == "pause" and not is_stopped():
        await control.wait_for_change()
