"""Events of a worker, passed to its `on_event`: ids, numbers and reasons, no personal data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..events import Stamped


class WorkerEvent(Stamped, frozen=True):
    """The base class of all events of a worker."""

    worker: int
    """The id of the worker; it gets a new one when it registers again after an outage."""


class WorkerStarted(WorkerEvent, frozen=True):
    """The worker has registered, for the first time or again, and takes locations."""


class WorkerStopped(WorkerEvent, frozen=True):
    """The worker has handed back all its locations and stops."""


class DatabaseLost(WorkerEvent, frozen=True):
    """The worker has lost the database or its lease: it sends nothing until it has registered again.

    A process that was frozen for longer than its lease loses it, too. `worker` is 0 before the first registration.
    """

    reason: str
    """What happened."""


class DatabaseBack(WorkerEvent, frozen=True):
    """The database can be used again; the worker has a new id. `seconds`: how long it was away."""

    seconds: float
    """How long it was away."""


class LocationTaken(WorkerEvent, frozen=True):
    """The worker has taken a location and works on it."""

    job: str
    """The name of the job."""
    location_id: str
    """The location."""
    epoch: int
    """The fencing token: how many times the location has been taken, by any worker."""


class LocationFinished(WorkerEvent, frozen=True):
    """A location is prepared, or has no more open rows, or had to stop."""

    job: str
    """The name of the job."""
    location_id: str
    """The location."""
    epoch: int
    """As in `LocationTaken`."""
    stopped: str | None = None
    """Why the location stopped; `None` if it did not."""


class LocationHandedBack(WorkerEvent, frozen=True):
    """The worker shuts down or the job is paused: another worker takes the location later."""

    job: str
    """The name of the job."""
    location_id: str
    """The location."""
    epoch: int
    """As in `LocationTaken`."""


class LocationLost(WorkerEvent, frozen=True):
    """Another worker has taken the location, or may have: this worker sends and records nothing more for it."""

    job: str
    """The name of the job."""
    location_id: str
    """The location."""
    epoch: int
    """As in `LocationTaken`."""


class JobChanged(WorkerEvent, frozen=True):
    """The worker has moved a job to its next phase."""

    job: str
    """The name of the job."""
    phase: str
    """The phase that begins, as in `JobPhase`."""


AnyWorkerEvent: TypeAlias = (
    WorkerStarted
    | WorkerStopped
    | DatabaseLost
    | DatabaseBack
    | LocationTaken
    | LocationFinished
    | LocationHandedBack
    | LocationLost
    | JobChanged
)
"""Any event of a worker: the type to decode its JSON with."""

WorkerEventHandler: TypeAlias = Callable[[WorkerEvent], object]
"""The type of a worker's `on_event`."""
Emit: TypeAlias = Callable[[WorkerEvent], None]
"""Passes an event to the handler. Never raises."""
