"""`leadconnector demo --workers 3`: a clinic day of twelve locations, moved by workers, one of which is killed."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import signal
import tempfile
from collections import Counter
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec

from ..jobs import PlanRow, read_plan
from ..sandbox import Limits, Sandbox
from .demo_postgres import DemoPostgres
from .demo_steps import Commands, Outcome, Running, Show, Step, find_differences, take_snapshot, write_text
from .progress import format_seconds

LOCATIONS: Final = 12
_ROWS: Final = 15
"""Of each location."""
_RATE: Final = 5
"""Rows per second and location, so that there is time to kill a worker."""
_LEASE: Final = 2.0
_KILLED_AFTER: Final = 60
"""Changes that the server has applied when a worker is killed."""
_LIMITS: Final = Limits(max_requests=100, interval=1.0)
"""A real location allows about 100 in 10 seconds; the demo is scaled to end soon."""
_PLAN: Final = "clinics.csv"
_WEEK: Final = timedelta(weeks=1)


class ClusterReport(Outcome, kw_only=True):
    """The result of the demo."""

    workers: int
    taken_over: int = 0
    """Locations of the killed worker that others have taken."""
    takeover_seconds: float = 0.0
    """From the kill until the last of them was taken."""

    @property
    def passed(self) -> bool:
        """Every check of the demo succeeded."""
        return (
            super().passed
            and sum(step.killed for step in self.steps) == 1
            and self.taken_over > 0
            and not self.rate_limited
            and self.applied == self.planned
        )


async def run_cluster_demo(workers: int, show: Show = lambda step: None) -> ClusterReport:
    """Run the demo."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    folder = tempfile.mkdtemp(prefix="leadconnector-demo-")
    try:
        async with DemoPostgres() as postgres, Sandbox(limits=_LIMITS, locations=LOCATIONS) as sandbox:
            demo = _Demo(sandbox, postgres.url, folder, workers, show)
            try:
                await demo.run()
            finally:
                await demo.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    demo.report.seconds = loop.time() - began
    return demo.report


class _Worker:
    """A worker process, and the locations that it says it has."""

    def __init__(self, running: Running, number: int) -> None:
        self.running = running
        self.number = number
        self.held: set[str] = set()
        self.taken: list[tuple[float, str]] = []
        """When it has taken which location, on the loop's clock."""
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        """Its events, one a line."""
        lines = self.running.process.stderr
        if lines is None:
            return
        async for line in lines:
            event = msgspec.json.decode(line, type=dict[str, object]) if line.startswith(b"{") else {}
            location = str(event.get("location_id"))
            if event.get("event") == "LocationTaken":
                self.held.add(location)
                self.taken.append((asyncio.get_running_loop().time(), location))
            elif event.get("event") in ("LocationFinished", "LocationHandedBack", "LocationLost"):
                self.held.discard(location)


class _Demo:
    def __init__(self, sandbox: Sandbox, url: str, folder: str, workers: int, show: Show) -> None:
        self._sandbox = sandbox
        self._url = url
        self._job = f"{url}#clinics"
        self._show = show
        self._plan = _write_plan(sandbox, folder)
        self._before = take_snapshot(sandbox, self._plan)
        self._commands = Commands(folder, _build_account(sandbox, url, folder), show)
        self._workers: list[_Worker] = []
        self.report = ClusterReport(workers=workers, planned=len(self._plan), steps=self._commands.steps)

    async def run(self) -> None:
        """Run all steps."""
        do, report = self._commands.do, self.report
        await do("shared", "migrate", self._url)
        for number in range(1, report.workers + 1):
            self._workers.append(_Worker(await self._start_worker(), number))
        moving = asyncio.create_task(do("reschedule", _PLAN, "--job", self._job, "--rate", str(_RATE), "--yes"))
        await self._kill_one(moving)
        await moving
        await do("jobs", self._url)
        await do("verify", self._job)
        report.differing = find_differences(self._plan, self._sandbox, self._before)
        changes = Counter(one.event_id for one in self._sandbox.requests.of("update_appointment") if one.applied)
        report.applied = len(changes)
        report.applied_twice = sum(count > 1 for count in changes.values())
        await do("undo", self._job, "--yes")
        now = take_snapshot(self._sandbox, self._plan)
        report.not_undone = [event_id for event_id, event in self._before.items() if now[event_id] != event]

    async def end(self) -> None:
        """Stop all workers, and count what the server saw."""
        for worker in self._workers:
            if worker.running.process.returncode is None:
                worker.running.process.send_signal(signal.SIGTERM)
        for worker in self._workers:
            await self._end_worker(worker)
        self.report.requests = len(self._sandbox.requests)
        self.report.rate_limited = self._sandbox.requests.count_statuses()[HTTPStatus.TOO_MANY_REQUESTS]

    async def _start_worker(self) -> Running:
        """One for half of the locations, so that the others can take over those of one that is killed."""
        slots = str(LOCATIONS // 2)
        return await self._commands.start("worker", self._url, "--slots", slots, "--lease", f"{_LEASE:g}", "--json")

    async def _kill_one(self, moving: asyncio.Task[Step]) -> None:
        """Kill the worker that has the most locations, half-way; returns when others have all of them."""
        while self._count_writes() < _KILLED_AFTER and not moving.done():  # noqa: ASYNC110 - other processes write
            await asyncio.sleep(0.01)
        victim = max(self._workers, key=lambda one: len(one.held))
        lost, loop = set(victim.held), asyncio.get_running_loop()
        self.report.applied_at_kill = self._count_writes()
        victim.running.process.kill()
        killed_at = loop.time()
        self._show(
            f"kill -9 {victim.running.process.pid}  # worker {victim.number}, at work on {len(lost)} locations"
        )
        others = [one for one in self._workers if one is not victim]
        while not moving.done() and lost - _list_taken(others, killed_at).keys():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        found = _list_taken(others, killed_at)
        taken = {location: at for location, at in found.items() if location in lost}
        self.report.taken_over = len(taken)
        self.report.takeover_seconds = max(taken.values(), default=killed_at) - killed_at
        await self._end_worker(victim, killed=True)
        self._workers.remove(victim)

    async def _end_worker(self, worker: _Worker, *, killed: bool = False) -> None:
        await worker.reading
        await self._commands.end(worker.running, killed=killed)

    def _count_writes(self) -> int:
        return sum(one.applied for one in self._sandbox.requests.of("update_appointment"))


def _list_taken(workers: list[_Worker], since: float) -> dict[str, float]:
    """The locations that workers have taken since a moment, and when."""
    return {location: at for worker in workers for at, location in worker.taken if at > since}


def _write_plan(sandbox: Sandbox, folder: str) -> list[PlanRow]:
    """Appointments of all locations move by a week."""
    lines = ["location_id,event_id,start_time"]
    for location_id in sandbox.location_ids:
        for event_id in sandbox.find_appointment_ids(location_id)[:_ROWS]:
            start = sandbox.appointment(event_id).start_time + _WEEK
            lines.append(f"{location_id},{event_id},{start.isoformat()}")
    write_text(Path(folder, _PLAN), "\n".join(lines) + "\n")
    return read_plan(f"{line}\n" for line in lines)


def _build_account(sandbox: Sandbox, url: str, folder: str) -> dict[str, str]:
    """A command prints the token of each location, as an agency's would."""
    tokens = Path(folder, "tokens")
    tokens.mkdir()
    for location_id in sandbox.location_ids:
        write_text(tokens / location_id, sandbox.issue_token(location_id=location_id))
    script = f'cat {shlex.quote(str(tokens))}/"$LEADCONNECTOR_LOCATION_ID"'
    return {
        "TOKEN_COMMAND": shlex.join(("/bin/sh", "-c", script)),
        "BASE_URL": sandbox.url,
        "LOCATION_ID": sandbox.location_id,
        "SHARED": url,
    }


def list_rows(report: ClusterReport) -> list[tuple[str, str]]:
    """The result in words."""
    state = "equals the plan" if not report.differing else f"differs in {', '.join(report.differing)}"
    undone = "equals the state before" if not report.not_undone else f"differs in {', '.join(report.not_undone)}"
    return [
        ("planned", f"{report.planned} rows in {LOCATIONS} locations"),
        ("applied", f"{report.applied}, {report.applied_at_kill} of them when a worker was killed"),
        ("applied twice", str(report.applied_twice)),
        ("taken over", f"{report.taken_over} locations within {report.takeover_seconds:.1f} s"),
        ("after the job", f"the sandbox's state {state}"),
        ("after undo", f"the sandbox's state {undone}"),
        ("requests", f"{report.requests}, {report.rate_limited} rejected by the rate limit (429)"),
        ("took", format_seconds(report.seconds)),
    ]
