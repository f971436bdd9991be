"""The progress of a running job: the outcomes so far, the rate, and the remaining time. Nothing here waits."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Final

from ..._limiter.headers import LocationQuota
from ...client import LeadConnector
from ..control import Control
from ..eta import ReadingLog, forecast, stretch
from ..states import NOT_APPLIED, NOT_CHANGED, JobOptions, JobProgress, RowOutcome, RowState, Stopped, count_rows

_LEAST_TRIED: Final = 20
"""Rows, before a percentage of errors stops a job."""
_RATE_SECONDS: Final = 30.0


class Progress:
    """Counts rows. `now` is the loop's clock."""

    def __init__(self, loads: Mapping[str, int], control: Control, readings: ReadingLog, now: float) -> None:
        self.clients: dict[str, LeadConnector] = {}
        """By location, for their quotas."""
        self._control = control
        self._readings = readings
        self._remaining = dict(loads)
        self._counts: dict[RowState, int] = {}
        self._recent: deque[float] = deque()
        self._latency = 0.0
        self._began = now

    def record_request(self, now: float, seconds: float) -> None:
        """A row has ended; its last request took `seconds`."""
        if seconds:
            self._latency = seconds if not self._latency else 0.9 * self._latency + 0.1 * seconds
        self._recent.append(now)

    def count(self, location: str, outcome: RowOutcome) -> Stopped | None:
        """A row of the plan has ended. Returns why the job must stop, if too many have failed."""
        self._remaining[location] = max(0, self._remaining.get(location, 0) - 1)
        self._counts[outcome.state] = self._counts.get(outcome.state, 0) + 1
        options = self._control.options
        if options.max_errors is None and options.max_error_percent is None:
            return None
        return explain_errors(count_rows(self._counts, NOT_APPLIED), sum(self._counts.values()), options)

    def reopen(self, location: str, applied: int, again: int) -> None:
        """Unknown rows of this run have been read back: so many were applied, or are to be sent again."""
        self._counts["unknown"] = max(0, self._counts.get("unknown", 0) - applied - again)
        self._counts["applied"] = self._counts.get("applied", 0) + applied
        self._remaining[location] = self._remaining.get(location, 0) + again

    def describe(self, now: float) -> JobProgress:
        """What `on_progress` is given."""
        while self._recent and self._recent[0] < now - _RATE_SECONDS:
            self._recent.popleft()
        done = sum(self._counts.values())
        span = min(_RATE_SECONDS, now - self._began)
        quotas = [(location, client.quota) for location, client in self.clients.items()]
        return JobProgress(
            phase="paused" if self._control.is_waiting else "running",
            done=done,
            total=done + sum(self._remaining.values()),
            applied=self._counts.get("applied", 0),
            failed=count_rows(self._counts, NOT_CHANGED),
            unknown=self._counts.get("unknown", 0),
            rate=len(self._recent) / span if span > 0 else 0.0,
            remaining_seconds=stretch(self._forecast(), self._control.options.hours, time.time()),
            pauses={location: reason for location, quota in quotas if (reason := _explain_pause(quota))},
            resume_at=self._control.opens_at if self._control.wanted == "run" else None,
        )

    def _forecast(self) -> float | None:
        loads = [
            self._readings.build_load(
                location, self._remaining[location], client.quota, self._latency, self._control.options
            )
            for location, client in self.clients.items()
            if self._remaining.get(location)
        ]
        return forecast(loads, self._control.options.rate)


def _explain_pause(quota: LocationQuota) -> str:
    if quota.paused_seconds > 0:
        return f"{quota.paused_seconds:.0f} s more, {quota.pause_reason}"
    if quota.waiting > 0 and quota.remaining <= quota.reserve:
        kept = f" but for a reserve of {quota.reserve}" if quota.reserve else ""
        return f"the limit of {quota.limit} requests in {quota.interval:g} s is used up{kept}"
    return ""


def explain_errors(errors: int, tried: int, options: JobOptions) -> Stopped | None:
    """Why a job must stop of which so many rows have failed, or may have, of those that were tried."""
    most, percent = options.max_errors, options.max_error_percent
    if most is not None and errors >= most:
        failed = "1 row has failed" if errors == 1 else f"{errors} rows have failed"
        return Stopped("errors", f"{failed}; max_errors is {most}")
    if percent is not None and tried >= _LEAST_TRIED and errors * 100 > percent * tried:
        return Stopped("errors", f"{errors} of {tried} rows have failed; max_error_percent is {percent:g}")
    return None
