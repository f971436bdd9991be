"""The tour: a clinic day is rescheduled in the sandbox, through the public API, with faults on the way.

Rule: nothing is taken on trust. What the library reports is held against what the server saw, and the server's
state against the plan.

Knows the client, the jobs and the sandbox; nothing of screens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from importlib.resources import files
from itertools import pairwise
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from ..answer import answer_of
from ..client import LeadConnector
from ..events import Event, Paused, Retrying, Sent
from ..exceptions import LeadConnectorError, RateLimitedError
from ..jobs import PlanRow, read_plan
from ..policy import RetryPolicy
from ..sandbox import BookedAppointment, Limits, Sandbox

LIMITS: Final = Limits(max_requests=40, interval=1.5)
"""A real location allows about 100 in 10 seconds; the tour is scaled to end soon."""
_EVERY: Final = 20
_FAULTS: Final = ("503", "reset", "lose-answer", "html 502", "stall 0.3", "503-after-apply")
_PAUSE_SECONDS: Final = LIMITS.interval / 4


class Progress(Struct):
    """Where the tour stands."""

    total: int
    done: int = 0
    sent: int = 0
    retried: int = 0
    waiting: bool = False
    """The location's limit is used up, so nothing is sent at the moment."""


class TourReport(Struct, kw_only=True):
    """What happened."""

    planned: int
    updated: int = 0
    """Calls that returned an appointment."""
    failed: list[str] = []
    """Errors, in words."""
    requests: int = 0
    """Requests that the server saw."""
    attempts: int = 0
    """Requests that the library says it has sent."""
    retried: int = 0
    """Attempts after the first of a call."""
    faults_planned: int = 0
    faults_met: int = 0
    pauses: int = 0
    """How often everything stood still until the limit let it go on."""
    paused_seconds: float = 0.0
    refused_for_rate: int = 0
    """429s."""
    most_in_window: int = 0
    """The most requests that the server saw in one window."""
    limit: int = LIMITS.max_requests
    """Requests that the server allowed in a window."""
    interval: float = LIMITS.interval
    """Length of the window, in seconds."""
    differing: list[str] = []
    """Ids of appointments whose state is not what the plan wants, or that changed without being in it."""
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Everything is as it should be."""
        return (
            self.updated == self.planned
            and not (self.failed or self.differing or self.refused_for_rate)
            and self.requests == self.attempts
            and self.faults_met == self.faults_planned
            and self.most_in_window <= self.limit
        )

    def to_dict(self) -> dict[str, object]:
        """For JSON: all figures, and whether they hold."""
        return {**msgspec.structs.asdict(self), "holds": self.holds}


async def run_tour(show: Callable[[Progress], None] = lambda progress: None, limits: Limits = LIMITS) -> TourReport:
    """Run the tour; `show` is called whenever something has happened."""
    plan = read_plan(
        (files("leadconnector_async.cli") / "clinic_day.csv").read_text("utf-8-sig").splitlines(keepends=True)
    )
    faults = [
        _FAULTS[number // _EVERY % len(_FAULTS)] if number % _EVERY == 9 else "ok" for number in range(len(plan))
    ]
    async with Sandbox(limits=limits, faults={"update_appointment": faults}) as sandbox:
        tour = _Tour(sandbox, plan, show)
        before = {event.id: event for event in sandbox.book}
        await tour.run()
        return tour.finish(before, sum(fault != "ok" for fault in faults))


class _Tour:
    def __init__(self, sandbox: Sandbox, plan: list[PlanRow], show: Callable[[Progress], None]) -> None:
        self._sandbox = sandbox
        self._plan = plan
        self._show = show
        self._progress = Progress(len(plan))
        self._report = TourReport(
            planned=len(plan), limit=sandbox.limits.max_requests, interval=sandbox.limits.interval
        )
        self._sent_at: list[float] = []

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        client = LeadConnector(
            self._sandbox.token,
            base_url=self._sandbox.url,
            location_id=self._sandbox.location_id,
            retry=RetryPolicy(backoff_base=0.2),
            on_event=self._note,
        )
        async with client:
            ticker = asyncio.create_task(self._tick())
            await asyncio.gather(*(self._update(client, row) for row in self._plan))
            ticker.cancel()
        self._report.seconds = loop.time() - began

    async def _update(self, client: LeadConnector, row: PlanRow) -> None:
        try:
            answer = await answer_of(client.update_appointment(row.event_id, row.update))
            attempts = answer.attempts
            self._report.updated += 1
        except LeadConnectorError as error:
            attempts = error.attempts
            self._report.failed.append(f"line {row.line}: {error}")
            self._report.refused_for_rate += isinstance(error, RateLimitedError)
        self._report.attempts += attempts
        self._report.retried += attempts - 1
        self._progress.done += 1
        self._show(self._progress)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.1)
            self._progress.waiting = bool(self._sent_at) and loop.time() - self._sent_at[-1] > _PAUSE_SECONDS
            self._show(self._progress)

    def _note(self, event: Event) -> None:
        match event:
            case Sent():
                self._sent_at.append(asyncio.get_running_loop().time())
                self._progress.sent += 1
                self._progress.waiting = False
            case Retrying():
                self._progress.retried += 1
            case Paused():
                self._progress.waiting = True
            case _:
                pass

    def finish(self, before: dict[str, BookedAppointment], faults_planned: int) -> TourReport:
        report, requests = self._report, self._sandbox.requests
        gaps = [later - earlier for earlier, later in pairwise(self._sent_at) if later - earlier > _PAUSE_SECONDS]
        report.pauses, report.paused_seconds = len(gaps), sum(gaps)
        report.requests = len(requests)
        report.refused_for_rate = requests.count_statuses()[429]
        report.most_in_window = requests.count_most_in(self._sandbox.limits.interval)
        report.faults_planned = faults_planned
        unused = [fault for faults in self._sandbox.faults.unused().values() for fault in faults]
        report.faults_met = faults_planned - sum(fault.kind != "ok" for fault in unused)
        report.differing = _find_differences(self._plan, self._sandbox, before)
        return report


def _find_differences(plan: list[PlanRow], sandbox: Sandbox, before: dict[str, BookedAppointment]) -> list[str]:
    planned = {row.event_id: row for row in plan}
    differing = [row.event_id for row in plan if not _is_as_planned(row, sandbox.appointment(row.event_id))]
    untouched = [event for event in sandbox.book if event.id not in planned]
    return differing + [event.id for event in untouched if before.get(event.id) != event]


def _is_as_planned(row: PlanRow, event: BookedAppointment) -> bool:
    for name in ("title", "appointment_status", "assigned_user_id", "start_time", "end_time", "address"):
        wanted = getattr(row.update, name)
        if wanted is UNSET:
            continue
        if name in ("start_time", "end_time") and isinstance(wanted, str):
            wanted = datetime.fromisoformat(wanted)
        if wanted != getattr(event, name):
            return False
    return True
