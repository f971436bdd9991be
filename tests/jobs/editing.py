"""The campaign of hand edits: jobs are stopped, copied, continued and asked about while somebody edits.

`python -m tests.jobs.editing --steps 500` is the whole of it; the test suite runs a small one. A step is a run that
is stopped, cancelled or let go, a prompt, a reopening, a copy of the folder, or a clock that is set; between the
steps, and while jobs run, somebody edits appointments of the plan. In the end each edit is held against what the
server saw: a write of the job to an event that was edited before is a loss, unless the edit was younger than the
reading that the write may rely on, and came after the job was last opened or asked about.
"""

import argparse
import asyncio
import csv
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from leadconnector_async import LeadConnector, RetryPolicy
from leadconnector_async._api.precondition import BACK_TO_BACK
from leadconnector_async.jobs import BulkJob, JobOptions, JobSummary
from leadconnector_async.sandbox import Limits, Sandbox

from .jobbing import rows, week_later

ROWS = 24
AGES = (0.0, 0.15, 0.4, 60.0)
FAULTS = ("503", "reset", "lose-response", "503-after-apply", "html 502")
ON_THE_WAY = 1.0
"""Seconds that a write may take to the server after its age was checked, on a busy machine."""
QUICK = RetryPolicy(backoff_base=0.001, backoff_cap=0.01)


class Edit(Struct, frozen=True):
    """What somebody has changed by hand, and when, by the loop's clock."""

    event_id: str
    at: float
    fields: tuple[str, ...]


class Tally(Struct):
    """What a campaign has shown."""

    steps: int = 0
    jobs: int = 0
    rows: int = 0
    edits: int = 0
    survived: int = 0
    """Edits of rows that the job had still to send, and left alone."""
    lost: int = 0
    """Edits overwritten that were older than `max_reading_age`, or came before the job was opened or answered."""
    younger: int = 0
    """Edits overwritten that came after the reading that the write relied on."""
    younger_at_zero: int = 0
    """With an age of 0: those that the reading right before the write has shown, or that came long after it."""
    unlisted: int = 0
    """Edits that kept a row from being sent, and are not in the files."""
    twice: int = 0
    """Rows that were written again after they were applied."""

    @property
    def holds(self) -> bool:
        return not (self.lost or self.younger_at_zero or self.unlisted or self.twice)


class Round:
    """One job, from its plan to its end."""

    def __init__(self, sandbox: Sandbox, tally: Tally, dice: random.Random, folder: Path) -> None:
        self._sandbox = sandbox
        self._tally = tally
        self._dice = dice
        self._base = folder
        self._folder = folder / "job"
        self._ids = sandbox.appointment_ids[:ROWS]
        self._edits: list[Edit] = []
        self._looked: list[float] = []
        """When the job was opened, continued or asked about: what was edited before is to be seen."""
        self._age = dice.choice(AGES)
        self._loop = asyncio.get_running_loop()
        self._real_time = time.time
        self._client = LeadConnector(
            sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id, retry=QUICK
        )

    async def run(self, steps: int) -> None:
        """Steps until the job has ended, or so many were taken."""
        try:
            async with self._client:
                summary = await self._begin()
                while summary is None or summary.remaining:
                    self._tally.steps += 1
                    steps -= 1
                    summary = await self._step(last=steps <= 0)
                self._judge()
        finally:
            time.time = self._real_time

    async def _begin(self) -> JobSummary | None:
        options = JobOptions(
            max_reading_age=self._age, concurrency=self._dice.choice((1, 4, 16)), rate=120.0, skip_refused=True
        )
        plan = rows(*week_later(self._sandbox, ROWS))
        async with await BulkJob.create(self._folder, self._client, plan, options=options) as job:
            await job.prepare()  # from here on, the state before is known
        return None

    async def _step(self, *, last: bool) -> JobSummary | None:
        self._edit_some(2)
        if self._dice.random() < 0.15:
            self._set_clock()
        if self._dice.random() < 0.25:
            self._copy()
        faults = [self._dice.choice(FAULTS) for _ in range(self._dice.randrange(3))]
        self._sandbox.faults.plan("update_appointment", faults)
        async with await BulkJob.open(self._folder, self._client) as job:
            if self._dice.random() < 0.3:
                await self._ask(job)
            self._looked.append(self._loop.time())
            if last:
                return await self._run(job)
            return await self._dice.choice((self._run, self._stop, self._cancel))(job)

    async def _ask(self, job: BulkJob) -> None:
        """The prompt: it is read, somebody thinks, somebody else edits, the answer comes."""
        await job.prepare()
        self._edit_some(3)
        await job.recheck()
        await job.leave_out_refused()

    async def _run(self, job: BulkJob) -> JobSummary:
        async with self._editing():
            return await job.run()

    async def _stop(self, job: BulkJob) -> JobSummary | None:
        self._loop.call_later(self._dice.uniform(0.0, 0.3), job.stop)
        async with self._editing():
            await job.run()
        return None

    async def _cancel(self, job: BulkJob) -> JobSummary | None:
        async with self._editing():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._dice.uniform(0.0, 0.3)):
                    await job.run()
        return None

    def _editing(self) -> "Editor":
        return Editor(self._edit_some, self._dice)

    def _copy(self) -> None:
        """The folder goes to another machine; sometimes the old one is then finished first."""
        copied = self._base / f"copy{len(os.listdir(self._base))}"
        shutil.copytree(self._folder, copied, ignore=shutil.ignore_patterns("lock"))
        self._folder = copied

    def _set_clock(self) -> None:
        ahead = self._dice.choice((-86_400.0, -30.0, 0.0, 30.0))  # the plan's times are months ahead
        real = self._real_time
        time.time = lambda: real() + ahead

    def _edit_some(self, most: int) -> None:
        for event_id in self._dice.sample(self._ids, self._dice.randrange(most + 1)):
            self._edit(event_id)

    def _edit(self, event_id: str) -> None:
        there = self._sandbox.appointment(event_id)
        moved = timedelta(days=self._dice.randrange(30, 60))
        changes = self._dice.choice(
            (
                {"appointment_status": self._dice.choice(("cancelled", "showed", "invalid"))},
                {"title": f"By hand {self._dice.random()}"},
                {"description": f"By hand {self._dice.random()}"},
                {"start_time": there.start_time + moved, "end_time": there.end_time + moved},
                {"deleted": True},
            )
        )
        if all(getattr(there, name) == value for name, value in changes.items()):
            return
        self._sandbox.edit_appointment(event_id, **changes)
        self._edits.append(Edit(event_id, self._loop.time(), tuple(changes)))

    def _judge(self) -> None:
        tally = self._tally
        tally.jobs += 1
        tally.rows += len(self._ids)
        tally.edits += len(self._edits)
        readings: dict[str, list[float]] = {}
        for request in self._sandbox.requests.of("get_appointment"):
            readings.setdefault(str(request.event_id), []).append(request.at)
        writes: dict[str, list[float]] = {}
        for request in self._sandbox.requests.of("update_appointment"):
            if request.applied:
                writes.setdefault(str(request.event_id), []).append(request.at)
        tally.twice += sum(len(moments) > 1 for moments in writes.values())
        listed = self._list_left_alone()
        for event_id in self._ids:
            edits = [one.at for one in self._edits if one.event_id == event_id]
            self._judge_event(event_id, edits, readings.get(event_id, []), writes.get(event_id, []), listed)

    def _judge_event(
        self, event_id: str, edits: list[float], readings: list[float], writes: list[float], listed: set[str]
    ) -> None:
        for edited in edits:
            later = [moment for moment in writes if moment > edited]
            if not later:
                self._tally.survived += not writes
            elif any(looked >= edited for looked in self._looked if looked <= later[0]) or (
                later[0] - edited > self._age and self._age > 0
            ):
                self._tally.lost += 1
            elif self._age > 0 or _is_between(readings, edited, later[0]):
                self._tally.younger += 1
            else:
                self._tally.younger_at_zero += 1
        if edits and not writes:
            self._tally.unlisted += event_id not in listed

    def _list_left_alone(self) -> set[str]:
        listed: set[str] = set()
        for name in ("failed.csv", "unknown.csv"):
            with suppress(FileNotFoundError), open(self._folder / name, encoding="utf-8-sig", newline="") as file:
                listed |= {row["event_id"] for row in csv.DictReader(file)}
        return listed


def _is_between(readings: list[float], edited: float, written: float) -> bool:
    """Whether an edit came between a write and the reading right before it, which nothing can exclude."""
    last = max((moment for moment in readings if moment <= written), default=-math.inf)
    return last < edited and written - last <= BACK_TO_BACK + ON_THE_WAY


class Editor:
    """Somebody who edits now and then while a job runs."""

    def __init__(self, edit: Callable[[int], None], dice: random.Random) -> None:
        self._edit = edit
        self._dice = dice
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._work())

    async def __aexit__(self, *args: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._dice.uniform(0.005, 0.1))
            self._edit(1)


async def run_campaign(steps: int, seed: int, survived: int = 0) -> Tally:
    """At least so many steps, and until so many edits survived: in one step, more do on a slow machine."""
    tally, dice = Tally(), random.Random(seed)
    while tally.steps < steps or tally.survived < survived:
        async with Sandbox(
            seed=dice.randrange(10**6), appointments=ROWS * 2, limits=Limits(max_requests=100, interval=0.5)
        ) as sandbox:
            with tempfile.TemporaryDirectory() as folder:
                await Round(sandbox, tally, dice, Path(folder)).run(8)
    return tally


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    ended = asyncio.run(run_campaign(given.steps, given.seed))
    sys.stdout.write(f"{ended}\n")
    sys.exit(0 if ended.holds else 1)
