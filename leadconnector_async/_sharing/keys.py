"""What the keys of callers need of a store: read a row with its time, and replace it durably if nobody else has.

A row says what became of a creation, so unlike a budget it must not be forgotten: a store that keeps its rows
returns from `swap` when the row is on its disk. `MemoryKeys` is the store of a process that shares nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from .store import MISSING, make_version

KEY_SECONDS: Final = 5.0
"""What a read or a swap takes at most, connecting included."""
BUSY_SECONDS: Final = 4.0
"""How long a statement waits for another process, less than the caller does."""
SWEEP_EVERY: Final = 1000
"""Swaps of a process between two deletions of what is kept no longer."""
MOST_TRIES: Final = 5
"""Of a change that others disturb: few do, since a row is leased while somebody is at work on it."""
GIVEN_BACK_SECONDS: Final = 1.0
"""How long an empty row is kept in place of a lease that was given back."""


class KeyRow(Struct, frozen=True, array_like=True):
    """A row as it was read, and the store's time."""

    version: str
    """Names this content and no other; `MISSING` if there is none."""
    content: bytes
    now: float
    """The store's clock in seconds: it has no fixed origin, and may jump."""
    clock: str = ""
    """Names that clock: two readings of the same one tell how much time has passed."""

    def keeps_lease(self, until: float, lease_seconds: float) -> bool:
        """Whether a lease that ends at `until` is still held.

        One that would end later than a lease that begins now is void: the clock was set back, or is another one.
        """
        return self.now < until <= self.now + lease_seconds


class KeyStore(Protocol):
    """Rows by key. Raises `StoreUnavailableError` within `KEY_SECONDS`, and `ConfigurationError`.

    Every method may be called from any event loop, also after a fork.
    """

    async def read(self, key: str) -> KeyRow:
        """The row of a key; `MISSING` if it has been kept for long enough."""
        ...

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float, *, sync: bool = True) -> bool:
        """Replace a row durably if it still has this version; returns whether it had.

        After a `StoreUnavailableError` it is not known whether it was replaced. A row that is not replaced for
        `keep_seconds` is deleted. Without `sync` it may reach the disk later: at the latest with the next swap that
        has it.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections; the next use opens them again."""
        ...


class MemoryKeys:
    """Rows of one process, which end with it. Of more than `most`, those that were written first are dropped."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int | None = None) -> None:
        self._clock = clock
        self._most = most
        self._rows: dict[str, tuple[str, bytes, float]] = {}
        self._swaps = 0

    async def read(self, key: str) -> KeyRow:
        """The row of a key."""
        now = self._clock()
        version, content, until = self._rows.get(key, (MISSING, b"", 0.0))
        return KeyRow(version, content, now) if until > now else KeyRow(MISSING, b"", now)

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float, *, sync: bool = True) -> bool:
        """Replace a row if it still has this version."""
        found = await self.read(key)
        if found.version != version:
            return False
        if self._swaps % SWEEP_EVERY == 0:
            self._rows = {one: row for one, row in self._rows.items() if row[2] > found.now}
        self._swaps += 1
        self._rows.pop(key, None)  # so that it is the newest
        self._rows[key] = (make_version(), content, found.now + keep_seconds)
        if self._most is not None and len(self._rows) > self._most:
            del self._rows[next(iter(self._rows))]
        return True

    async def aclose(self) -> None:
        """Nothing is open."""
