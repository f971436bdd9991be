"""Computes the progress of a job that other processes run, from successive readings of its journal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from .eta import stretch
from .journal.progress import LocationRow, Standing, find_phase
from .states import JobProgress

EVERY: Final = 1.0
"""Seconds between two readings."""
PATIENCE: Final = 30.0
"""Seconds without a worker before `WorkersMissingError`."""
_RATE_SECONDS: Final = 30.0
_LEAST_SECONDS: Final = 0.5
"""Between two readings that are kept: there may be many more."""


class Follower:
    """Turns readings of a job into its progress. Does no I/O and reads no clock."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, Mapping[str, int]]] = deque()
        self._beats: dict[int, tuple[int, float]] = {}
        """The last heartbeat of each worker, and when it was first seen."""
        self._seen: float | None = None
        """When the last heartbeat of any worker was seen; before that, the time of the first reading."""

    def describe(self, standing: Standing, now: float, wall: float) -> JobProgress:
        """Return the progress after one more reading. `now`: the loop's clock; `wall`: seconds since the epoch."""
        locations, readings = standing.locations, self._readings
        if len(readings) > 1 and readings[-1][0] - readings[-2][0] < _LEAST_SECONDS:
            readings.pop()
        self._readings.append((now, {one.location: one.done for one in locations}))
        while self._readings[0][0] < now - _RATE_SECONDS:
            self._readings.popleft()
        rates = self._measure(now)
        return JobProgress(
            phase=find_phase(standing.job.phase, standing.find_wanted(wall)),
            done=sum(one.done for one in locations),
            total=standing.job.rows,
            applied=sum(one.applied for one in locations),
            failed=sum(one.not_changed for one in locations),
            unknown=sum(one.unknown for one in locations),
            rate=sum(rates.values()),
            remaining_seconds=stretch(_forecast(locations, rates), standing.hours, wall),
            pauses={location: f"{until - wall:.0f} s more" for location, until in standing.paused.items()},
            locations=len(locations),
            prepared=sum(one.prepared for one in locations),
            workers=self._count_workers(standing, now),
            resume_at=standing.find_resume(wall),
        )

    def is_alone(self, now: float) -> bool:
        """Whether no worker has been seen for `PATIENCE` seconds."""
        return self._seen is not None and now - self._seen >= PATIENCE

    def _measure(self, now: float) -> dict[str, float]:
        """Rows per second of each location, over the last 30 seconds."""
        (began, before), (_, after) = self._readings[0], self._readings[-1]
        if now <= began:
            return {}
        return {location: (done - before.get(location, 0)) / (now - began) for location, done in after.items()}

    def _count_workers(self, standing: Standing, now: float) -> int:
        """Count workers that may be alive: the row of a killed one stays until another worker removes it."""
        first, alive = self._seen is None, 0
        self._seen = now if self._seen is None else self._seen
        for beat in standing.beats:
            known = self._beats.get(beat.worker)
            if known is None or known[0] != beat.beats:
                known = self._beats[beat.worker] = (beat.beats, now)
                self._seen = self._seen if first else now
            alive += now - known[1] < beat.lease
        return alive


def _forecast(locations: Iterable[LocationRow], rates: Mapping[str, float]) -> float | None:
    """Seconds for the slowest active location, or for all remaining rows at the total rate, if that is longer."""
    open_rows = {one.location: one.rows - one.done for one in locations if one.rows > one.done}
    total = sum(rates.values())
    if not open_rows:
        return 0.0
    if total <= 0:
        return None
    longest = (count / rates[location] for location, count in open_rows.items() if rates.get(location, 0.0) > 0)
    return max(sum(open_rows.values()) / total, *longest, 0.0)
