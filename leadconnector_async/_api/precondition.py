"""Preconditions of a write: the appointment as it was read, and the maximum age of that reading.

The API has no conditional writes. So right before each attempt of a guarded write, the age of the reading it was
planned from is checked, and after a lost response the write is not repeated if the event shows somebody else's
change. An edit between the last reading and the request cannot be detected.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from ..exceptions import PreconditionFailedError
from ..models import Appointment
from .readback import list_changes

MAX_READING_AGE: Final = 60.0
"""Maximum age of a reading, in seconds, when the write that relies on it is sent."""
BACK_TO_BACK: Final = 1.0
"""Maximum age, in seconds, where every write has its own GET right before it."""
_ROUNDING: Final = 0.00001
"""Seconds by which a moment may be rounded up in a journal."""
MOST_READINGS: Final = 5
"""How often an appointment is read for one write: after each reading, the write may have to wait too long."""


Granted: TypeAlias = dict[tuple[str, bytes | None], Appointment]
"""Writes that were approved, by path and body, and how the appointment was then."""


class StaleReadingError(PreconditionFailedError):
    """The reading is too old: read again. Never raised to users."""


class ReadingClock:
    """A clock that runs at least as fast as the loop's clock and the wall clock.

    The loop's clock stops while a machine sleeps, and the wall clock can be set back, so a reading is fresh only if
    both agree. Example: if the wall clock is set back by an hour, this clock follows the loop's clock; if a laptop
    sleeps for eight hours, it follows the wall clock.
    """

    __slots__ = ("_lead", "_read_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._read_loop = loop.time
        self._lead = time.time() - loop.time()

    def now(self) -> float:
        """About the current time, in seconds since the epoch; never decreases."""
        elapsed = self._read_loop()
        self._lead = max(self._lead, time.time() - elapsed)
        return elapsed + self._lead

    def is_fresh(self, read_at: float, max_age: float) -> bool:
        """Whether a reading is fresh enough. One from the future is not: another clock stamped it."""
        return -_ROUNDING <= self.now() - read_at <= max_age


class UpdateGuard(Struct):
    """One write and the reading that it relies on."""

    list_expected: Callable[[], Sequence[Appointment]]
    """Returns the states the appointment can have if nobody else changed it: as read, or after an earlier step."""
    read_at: float
    """The time, by `clock`, when the request that read it was sent."""
    clock: ReadingClock
    max_age: float = MAX_READING_AGE
    """Seconds."""
    granted: Granted = {}
    """What was approved for this call already."""
    send_by: float = math.inf
    """Its age is checked before each attempt, and no later."""

    def now(self) -> float:
        """The time by its clock, taken before the appointment is read again."""
        return self.clock.now()

    def check_age(self) -> StaleReadingError | None:
        """The error if the write must not be sent now, else `None`."""
        if self.clock.is_fresh(self.read_at, self.max_age):
            return None
        age = self.clock.now() - self.read_at
        return StaleReadingError(
            f"The appointment was read {age:.1f} s before its update could be sent, and at most {self.max_age:g} s "
            "are allowed. The update was not sent."
        )

    def check_shown(self, shown: Appointment, read_at: float) -> PreconditionFailedError | None:
        """The error if somebody else changed the appointment; otherwise this reading is the one relied on."""
        changes = [list_changes(before, shown) for before in self.list_expected()]
        if all(changes):
            nearest = min(changes, key=len)  # not a change by our own first step
            return PreconditionFailedError(f"Changed by somebody else: {', '.join(map(str, nearest))}")
        self.read_at = read_at
        return None
