"""The creations of a client and its copies that could be taken for each other: made one after the other.

Two bookings of the same contact for the same time look alike. If both were in flight at once and the response to
one were lost, nothing would show whose the one in the calendar is. So the second waits until the first has ended;
what the first has made is known by then.

Times are seconds of the loop's clock.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, TypeAlias

from msgspec import Struct, field

_REMEMBERED: Final = 120.0
"""Seconds for which ids are remembered: longer than `_api.created` doubts what was added before a call."""

_LEAST_SLEEP: Final = 1.0
"""Seconds: less can be a correction of the wall clock."""

Key: TypeAlias = tuple[str, ...]


class Turn(Struct):
    """The creations with one key."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    """Calls in progress, or waiting until they may begin."""
    ids: tuple[str, ...] = ()
    """What they have made."""
    late_until: float = float("-inf")
    """Until then, something can be added by one that has ended, or was added just now, and its id is not known."""
    ended_at: float = 0.0
    lead: float = 0.0
    """By how much the wall clock was ahead of the loop's when the last one began."""

    def begin(self, now: float) -> None:
        """One begins now."""
        self.lead = time.time() - now

    def measure_sleep(self, now: float) -> float:
        """For how long the machine has slept since then, as the loop's clock does not count that."""
        slept = time.time() - now - self.lead
        return slept if slept > _LEAST_SLEEP else 0.0

    def record(self, made: str | None, late_until: float) -> None:
        """Remember what a creation has made; without an id, that it may have made something until then."""
        if made:
            self.ids += (made,)
        else:
            self.late_until = max(self.late_until, late_until)

    def is_remembered(self, now: float) -> bool:
        """Whether a creation that begins now could be taken for one of these."""
        return now < max(self.ended_at + _REMEMBERED, self.late_until)


class Creations:
    """The turns that are in use, and those that are remembered."""

    __slots__ = ("_ended", "_in_use")

    def __init__(self) -> None:
        self._in_use: dict[Key, Turn] = {}
        self._ended: dict[Key, Turn] = {}
        """Those that ended first come first."""

    def __len__(self) -> int:
        return len(self._in_use) + len(self._ended)

    def enter(self, key: Key) -> Turn:
        """The turn of a creation, which must `leave` it whatever happens."""
        turn = self._in_use.get(key)
        if turn is None:
            turn = self._in_use[key] = self._ended.pop(key) if key in self._ended else Turn()
        turn.users += 1
        return turn

    def leave(self, key: Key, turn: Turn, now: float) -> None:
        """Forget the turn when nothing can be taken for its creations any more."""
        turn.users -= 1
        turn.ended_at = now
        if not turn.users:
            self._ended[key] = self._in_use.pop(key)
        while self._ended and not (first := next(iter(self._ended.items())))[1].is_remembered(now):
            del self._ended[first[0]]

    def find(self, key: Key) -> Turn:
        """What is known about the creations with this key."""
        return self._in_use.get(key) or self._ended.get(key) or Turn()
