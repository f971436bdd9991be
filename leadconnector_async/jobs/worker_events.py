"""What happens in a worker, passed to its `on_event`: ids, numbers and reasons, no personal data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct


class WorkerEvent(Struct, frozen=True):
    """The base class of all events of a worker."""

    worker: int
    """The id of its row in `workers`; after an outage it has another."""


class WorkerStarted(WorkerEvent, frozen=True):
    """It has registered, for the first time or again, and takes locations."""


class WorkerStopped(WorkerEvent, frozen=True):
    """It has handed all its locations back, and ends."""


class DatabaseLost(WorkerEvent, frozen=True):
    """The worker has lost its lease or the database: it sends nothing more, and tries to register until it can.

    It may also have been frozen for too long. `worker` is 0 if it has not registered yet.
    """

    reason: str


class DatabaseBack(WorkerEvent, frozen=True):
    """The database can be used again, after so many seconds; the worker has a new id."""

    seconds: float


class LocationTaken(WorkerEvent, frozen=True):
    """It works on a location from now on."""

    job: str
    location_id: str
    epoch: int
    """How often the location has been taken, by whomever."""


class LocationFinished(WorkerEvent, frozen=True):
    """A location was prepared, or has no open rows any more, or had to stop."""

    job: str
    location_id: str
    epoch: int
    stopped: str | None = None
    """Why it stopped."""


class LocationHandedBack(WorkerEvent, frozen=True):
    """The worker is to end, or the job to pause: somebody will take the location later."""

    job: str
    location_id: str
    epoch: int


class LocationLost(WorkerEvent, frozen=True):
    """Another worker has taken the location, or may have: nothing more is sent to it or written about it."""

    job: str
    location_id: str
    epoch: int


class JobChanged(WorkerEvent, frozen=True):
    """The worker has moved a job to its next phase, as all its locations allow it."""

    job: str
    phase: str


WorkerEventHandler: TypeAlias = Callable[[WorkerEvent], object]
Emit: TypeAlias = Callable[[WorkerEvent], None]
"""Hands an event to the handler. Never raises."""
