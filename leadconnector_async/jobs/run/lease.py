"""The lease of a process that works on jobs, and those of the others: who may send, and who is dead.

Every process increases a number in the database, its beat. Clocks are never compared: a process counts its own
lease from the moment before it sent a beat, and the leases of others from the moment after it saw their last beat,
both by its own clock. Its own is shorter by a tenth, so clocks may drift apart by as much. Nothing here waits, or
reads a clock or the database.

`next_step`, for the process itself, whose location may be written to until `until()`:

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

`observe`, for the others, after each reading of their rows:

| worker | what follows |
| --- | --- |
| not seen before, or its beat has changed | remember the beat, and when it was seen |
| the same beat for a whole lease of that worker | bury it, if its beat is still that one |
| its row is gone | forget it |
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

from ..journal.leases import Beat

LEASE: Final = 6.0
"""Seconds, unless the user chooses others."""
_BEATS: Final = 4
"""In one lease."""
_SWEEPS: Final = 8
"""In one lease: how often a process looks at the others."""
_OWN: Final = 0.9
"""Which part of its lease a process uses itself."""


class Woke(Struct, frozen=True):
    """It is that late."""

    now: float


class Beaten(Struct, frozen=True):
    """The response to a beat."""

    found: bool
    """The row of the process was there."""
    sent_at: float
    """Before the beat was sent."""
    now: float


class Missed(Struct, frozen=True):
    """A beat has failed. Whether it was counted is not known."""


LeaseEvent: TypeAlias = Woke | Beaten | Missed
LeaseAction: TypeAlias = Literal["beat", "wait", "lost"]


class Sighting(Struct, frozen=True):
    """The last change of a beat that was seen."""

    beats: int
    at: float
    """After it was read, by the clock of the one who read it."""


class Lease(Struct, kw_only=True):
    """One registered process, as it sees itself and the others. All moments are those of its own clock."""

    worker: int
    seconds: float
    """How long others wait for its next beat."""
    sent_at: float
    """Before its last beat was sent, or its row was written."""
    held_until: float = -math.inf
    beating: bool = False
    """A beat is in progress."""
    lost: bool = False
    sightings: dict[int, Sighting] = field(default_factory=dict[int, Sighting])

    def until(self) -> float:
        """Until when the process may write to its locations; `-inf` once it has lost them."""
        return -math.inf if self.lost else self.held_until

    @property
    def wakes_at(self) -> float:
        """When `Woke` is due next."""
        beats_at = math.inf if self.beating else self.sent_at + self.seconds / _BEATS
        return min(beats_at, self.held_until)

    @property
    def sweep_seconds(self) -> float:
        """How long to wait between two readings of all workers."""
        return self.seconds / _SWEEPS


def begin_lease(worker: int, seconds: float, sent_at: float, sightings: dict[int, Sighting] | None = None) -> Lease:
    """That of a process whose row was written; `sent_at`: the moment before.

    `sightings`: what it has seen of others before it lost its last lease.
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
    """Remember the beats that were read, `now` being after that; returns those whose workers are dead.

    A worker is buried with the beat that was seen: if it has beaten since, it lives.
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
    """Somebody else has taken it, whatever the lease says."""

    def until(self) -> float:
        """Until when it may be written to, by the clock of the process; `-inf` once it was lost."""
        return -math.inf if self.lost else self.lease.until()
