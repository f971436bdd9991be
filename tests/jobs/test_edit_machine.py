"""A job, a human editor, a clock, kills and reopenings in any order: the calendar against the journal.

What the machine does is drawn by Hypothesis, and shrunk to the fewest steps when it fails. Time is advanced by
hand, so that every edit is to be seen by the next reading.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Coroutine
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leadconnector_async import Event, LeadConnector, PlanError, RetryPolicy
from leadconnector_async.events import ResponseReceived
from leadconnector_async.jobs import BulkJob, JobOptions, JobSummary, RowOutcome
from leadconnector_async.jobs.journal.rows import find_outcomes
from leadconnector_async.jobs.states import OPEN
from leadconnector_async.sandbox import Limits, Sandbox

from .jobbing import rows, week_later

T = TypeVar("T")
ROWS = 6
AGE = 60.0
EDITS = ("appointment_status", "title", "start_time", "description", "deleted")
FAULTS = ("ok", "503", "reset", "lose-response", "503-after-apply")


class Calendar(RuleBasedStateMachine):
    """The rules are the steps; what must always hold stands below them."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.real_time = time.time
        self.ahead = 0.0
        time.time = lambda: self.real_time() + self.ahead
        self.base = tempfile.TemporaryDirectory()
        self.folder = Path(self.base.name) / "job"
        self.sandbox = Sandbox(appointments=2 * ROWS, limits=Limits(max_requests=10_000, interval=0.1))
        self.edited: dict[str, str] = {}
        """Edits that every later write must respect: the event, and the field."""
        self.pending: list[tuple[str, str]] = []
        """Edits in the middle of a run, which the next request is to meet."""
        self.writes_at_edit: dict[str, int] = {}
        """How often the event had been written when it was edited."""
        self.job: BulkJob | None = None
        self.has_ended = False
        self.count = 0

    def do(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize(age=st.sampled_from((0.0, AGE)), skip=st.booleans())
    def begin(self, age: float, skip: bool) -> None:
        self.do(self.sandbox.start())
        self.ids = self.sandbox.appointment_ids[:ROWS]
        self.client = LeadConnector(
            self.sandbox.token,
            base_url=self.sandbox.url,
            location_id=self.sandbox.location_id,
            retry=RetryPolicy(backoff_base=0.001, backoff_cap=0.001),
            on_event=self.meet,
        )
        plan = rows(*week_later(self.sandbox, ROWS))
        self.wanted = {one.event_id: str(one.update.start_time) for one in plan}  # type: ignore[union-attr]
        options = JobOptions(max_reading_age=age, concurrency=1, skip_refused=skip)
        self.job = self.do(BulkJob.create(self.folder, self.client, plan, options=options))
        self.do(self.job.prepare())

    def meet(self, event: Event) -> None:
        """Somebody edits an open row at the very moment in which another one is answered, and a while passes."""
        if isinstance(event, ResponseReceived) and event.operation == "update_appointment" and self.pending:
            event_id, field = self.pending.pop()
            if not self.was_written(event_id):
                self.edit(event_id, field)
                self.ahead += AGE + 1

    def was_written(self, event_id: str) -> bool:
        return any(one.event_id == event_id for one in self.sandbox.requests.of("update_appointment"))

    @rule(number=st.integers(0, ROWS - 1), field=st.sampled_from(EDITS))
    def edit_by_hand(self, number: int, field: str) -> None:
        self.edit(self.ids[number], field)

    def edit(self, event_id: str, field: str) -> None:
        there = self.sandbox.appointment(event_id)
        self.count += 1
        changes: dict[str, object] = {field: f"By hand {self.count}"}
        if field == "appointment_status":
            changes = {field: "cancelled" if there.appointment_status != "cancelled" else "showed"}
        elif field == "start_time":
            days = timedelta(days=30 + self.count)
            changes = {"start_time": there.start_time + days, "end_time": there.end_time + days}
        elif field == "deleted":
            changes = {field: True}
        self.sandbox.edit_appointment(event_id, **changes)
        self.edited[event_id] = field
        self.writes_at_edit[event_id] = self.count_writes(event_id)

    def count_writes(self, event_id: str) -> int:
        return sum(
            one.applied for one in self.sandbox.requests.of("update_appointment") if one.event_id == event_id
        )

    @rule(number=st.integers(0, ROWS - 1), field=st.sampled_from(EDITS))
    def edit_in_the_next_run(self, number: int, field: str) -> None:
        self.pending.append((self.ids[number], field))

    @rule(seconds=st.sampled_from((-86_400.0, -30.0, 61.0, 3600.0)))
    def set_the_clock(self, seconds: float) -> None:
        """The wall clock is set, or the machine sleeps. What was read before an hour of sleep is old."""
        self.ahead += seconds

    @rule(faults=st.lists(st.sampled_from(FAULTS), max_size=3))
    def expect_trouble(self, faults: list[str]) -> None:
        self.sandbox.faults.plan("update_appointment", faults)

    @precondition(lambda self: self.job is not None)
    @rule(limit=st.integers(1, 3) | st.none(), number=st.integers(0, ROWS - 1), field=st.sampled_from(EDITS))
    def edit_and_run(self, limit: int | None, number: int, field: str) -> None:
        """An edit while the job stands still, and on it goes."""
        assert self.job is not None
        self.edit(self.ids[number], field)
        self.keep(self.do(self.continue_job(self.job, limit)))

    async def continue_job(self, job: BulkJob, limit: int | None) -> JobSummary | None:
        """Whoever runs it has been away for a while: what was edited meanwhile is to be seen."""
        try:
            await job.recheck()
            return await job.run(limit=limit)
        except PlanError:
            return None

    def keep(self, summary: JobSummary | None) -> None:
        self.has_ended = summary is not None and not summary.remaining

    @precondition(lambda self: self.job is not None)
    @rule(accept=st.booleans())
    def ask(self, accept: bool) -> None:
        assert self.job is not None
        self.do(self.job.recheck())
        if accept:
            self.do(self.job.leave_out_refused())

    @precondition(lambda self: self.job is not None)
    @rule()
    def close(self) -> None:
        assert self.job is not None
        self.do(self.job.aclose())
        self.job = None

    @precondition(lambda self: self.job is None)
    @rule(limit=st.integers(0, ROWS) | st.none())
    def resume(self, limit: int | None) -> None:
        self.job = self.do(BulkJob.open(self.folder, self.client))
        if limit == 0:
            return
        try:
            self.keep(self.do(self.job.run(limit=limit)))
        except PlanError:
            self.has_ended = False

    @precondition(lambda self: self.job is not None)
    @rule()
    def kill(self) -> None:
        """The folder as a killed process leaves it, or as somebody copies it: the lock is nobody's."""
        assert self.job is not None
        copied = Path(self.base.name) / f"copy{self.count}-{time.perf_counter_ns()}"
        shutil.copytree(self.folder, copied, ignore=shutil.ignore_patterns("lock"))
        self.do(self.job.aclose())
        self.folder, self.job = copied, None

    @invariant()
    def no_edit_was_overwritten(self) -> None:
        """No write came after an edit; a deleted event takes none."""
        for event_id, before in self.writes_at_edit.items():
            assert self.count_writes(event_id) == before, (event_id, self.edited[event_id])

    @invariant()
    def nothing_was_written_twice(self) -> None:
        for event_id in getattr(self, "ids", ()):
            assert self.count_writes(event_id) <= 1

    @invariant()
    def the_journal_says_what_the_calendar_shows(self) -> None:
        """What it calls applied is there, and what is not there has its reason when the job has ended."""
        if self.job is None or self.job._runner is not None:
            return
        for outcome in self.do(self.list_outcomes(self.job)):
            there = self.sandbox.appointment(outcome.event_id)
            if outcome.state == "applied" and outcome.event_id not in self.edited:
                assert self.count_writes(outcome.event_id) == 1
            if outcome.state in ("skipped", "refused"):
                assert outcome.event_id in self.edited
                assert "changed by somebody else" in outcome.reason
            if (
                self.has_ended
                and outcome.event_id not in self.edited
                and outcome.state not in ("unknown", "failed")
            ):
                assert outcome.state == "applied"
                assert there.start_time == datetime.fromisoformat(self.wanted[outcome.event_id])

    async def list_outcomes(self, job: BulkJob) -> list[RowOutcome]:
        numbers = range(1, len(self.wanted) + 1)
        journal = job._journal.at(job._journal.hold.of(self.sandbox.location_id))
        found = await journal.run(partial(find_outcomes, numbers))
        return [one for one in found if one.state not in OPEN]

    def teardown(self) -> None:
        time.time = self.real_time
        if self.job is not None:
            self.do(self.job.aclose())
        if hasattr(self, "client"):
            self.do(self.client.aclose())
            self.do(self.sandbox.stop())
        self.loop.close()
        self.base.cleanup()


TestCalendar = pytest.mark.campaign(pytest.mark.timeout(180)(Calendar.TestCase))
TestCalendar.settings = settings(
    max_examples=60,
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
