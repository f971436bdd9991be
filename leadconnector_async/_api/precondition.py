"""What a write relies on: the appointment as it was read, and how old that reading may be.

The API has no precondition of its own. So every attempt of a guarded write is held against the age of the reading
it was planned from, right before it is sent, and a write that is read back is not sent again if the event shows
somebody else's work. An edit between the last reading and the request cannot be seen.

Time comes in as a function.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from ..exceptions import PreconditionFailedError
from ..models import Appointment
from .readback import list_changes

MAX_READING_AGE: Final = 60.0
"""Seconds that a reading may be old when a write that relies on it is sent."""
BACK_TO_BACK: Final = 1.0
"""Seconds from one GET to its write where every write is to have a GET of its own."""
MOST_READINGS: Final = 5
"""How often an appointment is read for one write: each time, its turn may come too late."""


class StaleReadingError(PreconditionFailedError):
    """The reading is too old to rely on: read again. It never reaches a user."""


class ReadingClock:
    """Seconds that pass at least as fast as the loop's clock and as the wall clock.

    The loop's clock stands still while a machine sleeps, and the wall clock can be set back: a reading is young
    only if both say so. Example: the wall clock is set back by an hour, the loop's clock goes on, and so do these
    seconds; a laptop sleeps for eight hours, and the wall clock carries them along.
    """

    __slots__ = ("_lead", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lead = time.time() - loop.time()

    def now(self) -> float:
        """Never goes back; near the time of day, in seconds since the epoch."""
        elapsed = self._loop.time()
        self._lead = max(self._lead, time.time() - elapsed)
        return elapsed + self._lead

    def is_fresh(self, read_at: float, max_age: float) -> bool:
        """Whether a reading is young enough. One from the future is old: another clock has stamped it."""
        return 0.0 <= self.now() - read_at <= max_age


class UpdateGuard:
    """One write and the reading that it relies on.

    `list_expected` tells how the appointment may look without anybody else having touched it: as it was read, or as
    an earlier step of ours has left it.
    """

    __slots__ = ("_clock", "_list_expected", "max_age", "read_at")

    def __init__(
        self,
        list_expected: Callable[[], Sequence[Appointment]],
        read_at: float,
        clock: ReadingClock,
        max_age: float = MAX_READING_AGE,
    ) -> None:
        self._list_expected = list_expected
        self._clock = clock
        self.max_age = max_age
        """Seconds."""
        self.read_at = read_at
        """By `clock`, when the request that read it was sent."""

    def now(self) -> float:
        """By its clock: taken before a request that reads the appointment again."""
        return self._clock.now()

    def check_age(self) -> StaleReadingError | None:
        """Why the write must not be sent now; `None` if it may."""
        if self._clock.is_fresh(self.read_at, self.max_age):
            return None
        age = self._clock.now() - self.read_at
        return StaleReadingError(
            f"The appointment was read {age:.1f} s before its update could be sent; "
            f"at most {self.max_age:g} s are allowed. It was not sent."
        )

    def check_shown(self, shown: Appointment, read_at: float) -> PreconditionFailedError | None:
        """Whether somebody else has changed what was read; a reading that shows nobody's work counts as new."""
        changes = [list_changes(before, shown) for before in self._list_expected()]
        if all(changes):
            nearest = min(changes, key=len)  # an own first step is nobody else's change
            return PreconditionFailedError(f"Changed by somebody else: {', '.join(map(str, nearest))}")
        self.read_at = read_at
        return None
