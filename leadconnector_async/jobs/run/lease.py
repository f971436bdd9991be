"""The leases of worker processes: until when this process may send, and which other processes are dead.

Every process increments a counter in the database, its heartbeat. Clocks of two machines are never compared: a
process counts its own lease from the moment before it sent a heartbeat, and the leases of others from the moment
after it read their latest one, both by its own clock. It uses only nine tenths of its own lease, so that clocks may
drift apart by a tenth. Nothing here waits or reads a clock or the database.

`next_step` decides for the process itself, which may write to its locations until `until()`:

| state | event | what follows |
| --- | --- | --- |
| held | `Woke`, and its lease has expired | `lost` |
| held | `Woke`, a quarter of the lease after the last beat was sent, and none is in progress | `beat` |
| held | `Woke`, otherwise | `wait` |
| held | `Beaten`: the row was there | held until nine tenths of a lease after that beat was sent |
| held | `Beaten`: the row was there, but its lease has expired, counted like this | `lost` |
| held | `Beaten`: the row was not there: others have buried it | `lost` |
| held | `Missed`: the beat failed | the next `Woke` may beat again |
| lost | anything | `lost`: it registers anew, as another worker |

`observe` decides about the others, after each reading of their rows:

| worker | what follows |
| --- | --- |
| not seen before, or its beat has changed | remember the beat, and when it was seen |
| the same beat for a whole lease of that worker | bury it (delete its row), unless its beat has changed since |
| its row is gone | forget it |
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

from ..journal.leases import Beat

LEASE: Final = 6.0
"""The default, in seconds."""
_BEATS: Final = 4
"""Heartbeats per lease."""
_SWEEPS: Final = 8
"""Sweeps per lease: how often a process reads the rows of the others."""
_OWN: Final = 0.9
"""The part of its own lease that a process uses."""


class Woke(Struct, frozen=True):
    """The timer has fired."""

    now: float


class Beaten(Struct, frozen=True):
    """The response to a beat."""

    found: bool
    """Whether the row of the process still existed."""
    sent_at: float
    """Before the beat was sent."""
    now: float


class Missed(Struct, frozen=True):
    """A beat has failed. The database may have counted it nevertheless."""


LeaseEvent: TypeAlias = Woke | Beaten | Missed
LeaseAction: TypeAlias = Literal["beat", "wait", "lost"]


class Sighting(Struct, frozen=True):
    """The latest beat seen of another process."""

    beats: int
    at: float
    """The moment after it was read, by the clock of this process."""


class Lease(Struct, kw_only=True):
    """The lease of this process, and what it has seen of others. All times are of its own clock."""

    worker: int
    seconds: float
    """The length of the lease: how long others wait for the next beat."""
    sent_at: float
    """The moment before its last beat was sent, or before its row was written."""
    held_until: float = -math.inf
    beating: bool = False
    """A beat is in progress."""
    lost: bool = False
    sightings: dict[int, Sighting] = field(default_factory=dict[int, Sighting])

    def until(self) -> float:
        """The time until which the process may write to its locations; `-inf` once it has lost them."""
        return -math.inf if self.lost else self.held_until

    @property
    def wakes_at(self) -> float:
        """When `Woke` is due next."""
        beats_at = math.inf if self.beating else self.sent_at + self.seconds / _BEATS
        return min(beats_at, self.held_until)

    @property
    def sweep_seconds(self) -> float:
        """Seconds between two readings of the rows of all workers."""
        return self.seconds / _SWEEPS


def begin_lease(worker: int, seconds: float, sent_at: float, sightings: dict[int, Sighting] | None = None) -> Lease:
    """Begin the lease of a process that has registered; `sent_at`: the moment before its row was written.

    `sightings`: what it saw of others during its previous lease.
    """
    held_until = sent_at + _OWN * seconds
    return Lease(
        worker=worker, seconds=seconds, sent_at=sent_at, held_until=held_until, sightings=dict(sightings or {})
    )


def next_step(lease: Lease, event: LeaseEvent) -> LeaseAction:
    """Decide what follows for the process itself."""
    if lease.lost:
        return "lost"
    if isinstance(event, Woke):
        return _wake(lease, event.now)
    lease.beating = False
    if isinstance(event, Beaten):
        held_until = event.sent_at + _OWN * lease.seconds
        if not event.found or held_until <= event.now:
            lease.lost = True
            return "lost"
        lease.held_until = held_until
    return "wait"


def _wake(lease: Lease, now: float) -> LeaseAction:
    if now >= lease.held_until:
        lease.lost = True
        return "lost"
    if lease.beating or now < lease.sent_at + lease.seconds / _BEATS:
        return "wait"
    lease.beating, lease.sent_at = True, now
    return "beat"


def observe(lease: Lease, rows: Iterable[Beat], now: float) -> list[Beat]:
    """Remember the beats that were just read, at `now`; returns those of dead workers.

    Each comes with the beat that was seen: a worker that has sent another one since is alive, and must be kept.
    """
    before, lease.sightings = lease.sightings, {}
    dead: list[Beat] = []
    for row in rows:
        if row.worker == lease.worker:
            continue
        seen = before.get(row.worker)
        if seen is None or seen.beats != row.beats:
            seen = Sighting(row.beats, now)
        lease.sightings[row.worker] = seen
        if now - seen.at >= row.lease:
            dead.append(row)
    return dead


class HeldLocation(Struct, kw_only=True, eq=False):
    """The fence of a location that a process has taken."""

    job: int
    location: str
    epoch: int
    lease: Lease
    lost: bool = False
    """Another process has taken it, whatever the lease says."""

    def until(self) -> float:
        """The time until which it may be written to, by the clock of this process; `-inf` once it is lost."""
        return -math.inf if self.lost else self.lease.until()
