"""`leadconnector demo`: plans, moves, kills, resumes, verifies and undoes a clinic day, with faults."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
from cyclopts import App
from msgspec import UNSET, Struct
from rich.table import Table
from rich.text import Text

from .._api.fields import SHOWN, TIMES
from ..jobs import PlanRow, read_plan
from ..sandbox import BookedAppointment, Limits, Sandbox
from .arguments import SANDBOX, Json
from .errors import run_command
from .exit_codes import DONE, FAILED
from .progress import format_seconds
from .terminal import DOCUMENT, make_consoles

LIMITS: Final = Limits(max_requests=100, interval=1.0)
"""A real location allows about 100 in 10 seconds; the demo is scaled to end soon."""
_PLAN: Final = "clinic_day.csv"
_JOB: Final = "clinic_day.job"
_DAY: Final = ("--from", "2027-03-10", "--to", "2027-03-11", "--timezone", "America/New_York")
_EVERY: Final = 20
_FAULTS: Final = ("503", "reset", "lose-response", "html 502", "stall 0.3", "503-after-apply")
_KILLED_AFTER: Final = 100
"""Changes that the server has applied when the process is killed."""


class Step(Struct, kw_only=True):
    """One command and its result."""

    command: str
    exit_code: int
    seconds: float
    output: str
    """Its stdout, or its stderr if that is empty."""
    killed: bool = False


class DemoReport(Struct, kw_only=True):
    """The result of the demo."""

    planned: int
    steps: list[Step] = []
    applied: int = 0
    """Changes of the plan that the server applied, those of the undo not counted."""
    applied_twice: int = 0
    """Changes of the plan that the server applied more than once."""
    applied_at_kill: int = 0
    """How many of them when the process was killed."""
    differing: list[str] = []
    """Ids of appointments that were not as planned after the job."""
    not_undone: list[str] = []
    """Ids of appointments that were not as before after the undo."""
    requests: int = 0
    """Requests that the server saw."""
    rate_limited: int = 0
    """429s."""
    faults_planned: int = 0
    faults_triggered: int = 0
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Every check of the demo succeeded."""
        return (
            bool(self.steps)
            and all(step.killed or step.exit_code == 0 for step in self.steps)
            and any(step.killed for step in self.steps)
            and not (self.differing or self.not_undone or self.applied_twice)
            and self.faults_triggered == self.faults_planned
        )

    def to_dict(self) -> dict[str, object]:
        """For JSON: all figures, and whether the demo passed."""
        return {**msgspec.to_builtins(self), "passed": self.passed}


async def demo(*, json_output: Json = False) -> int:
    """Plan, move, kill, resume, verify and undo a clinic day of 250 rows against a local sandbox.

    Needs no account and no network. Exit code 0 only if every appointment ended as planned, was changed once, and
    was restored by the undo.

    """

    async def work() -> int:
        report = await run_demo((lambda step: None) if json_output else _show_step)
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


Show = Callable[[Step | str], None]
"""Called with every command before it starts, and with its result."""


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
        _write(Path(folder, _PLAN), content)
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
        self.report = DemoReport(planned=len(plan))
        self._sandbox = sandbox
        self._plan = plan
        self._folder = folder
        self._show = show
        self._before = _take_snapshot(sandbox, plan)

    async def run(self) -> None:
        """Run all steps."""
        calendar = next(iter(self._sandbox.store.calendars))
        await self._do("plan", "--calendar", calendar, *_DAY, "--shift", "+1w", "--output", "general_practice.csv")
        await self._do("reschedule", _PLAN, "--dry-run")
        await self._kill("reschedule", _PLAN, "--yes")
        await self._do("resume", _JOB)
        await self._do("verify", _JOB)
        self.report.differing = _find_differences(self._plan, self._sandbox, self._before)
        self._count_changes()
        await self._do("undo", _JOB, "--yes")
        now = _take_snapshot(self._sandbox, self._plan)
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

    async def _do(self, *arguments: str) -> None:
        process, began = await self._start(arguments)
        await self._end(process, arguments, began, killed=False)

    async def _kill(self, *arguments: str) -> None:
        """Start it, and kill it half-way."""
        process, began = await self._start(arguments)
        writes = 0
        while writes < _KILLED_AFTER and process.returncode is None:
            await asyncio.sleep(0.01)
            writes = sum(one.applied for one in self._sandbox.requests.of("update_appointment"))
        self.report.applied_at_kill = writes
        if process.returncode is None:
            process.kill()
        await self._end(process, arguments, began, killed=True)

    async def _start(self, arguments: tuple[str, ...]) -> tuple[asyncio.subprocess.Process, float]:
        self._show(_render(arguments))
        pipe = asyncio.subprocess.PIPE
        code = "from leadconnector_async.cli import main; main()"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            *arguments,
            cwd=self._folder,
            env=self._environment(),
            stdout=pipe,
            stderr=pipe,
        )
        return process, asyncio.get_running_loop().time()

    async def _end(
        self, process: asyncio.subprocess.Process, arguments: tuple[str, ...], began: float, *, killed: bool
    ) -> None:
        out, err = await process.communicate()
        step = Step(
            command=_render(arguments),
            exit_code=process.returncode or 0,
            seconds=asyncio.get_running_loop().time() - began,
            output=(out or err).decode("utf-8", "replace").strip(),
            killed=killed,
        )
        self.report.steps.append(step)
        self._show(step)

    def _environment(self) -> Mapping[str, str]:
        sandbox = self._sandbox
        account = {"TOKEN": sandbox.token, "BASE_URL": sandbox.url, "LOCATION_ID": sandbox.location_id}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LEADCONNECTOR_")}
        return kept | {f"LEADCONNECTOR_{name}": value for name, value in account.items()}


def _write(path: Path, content: str) -> None:
    path.write_text(content, "utf-8")


def _render(arguments: tuple[str, ...]) -> str:
    return shlex.join(("leadconnector", *arguments))


def _take_snapshot(sandbox: Sandbox, plan: list[PlanRow]) -> dict[str, BookedAppointment]:
    """All appointments, and the instances of series that the plan names."""
    planned = {row.event_id: sandbox.appointment(row.event_id) for row in plan}
    return planned | {event.id: event for event in sandbox.store}


def _find_differences(plan: list[PlanRow], sandbox: Sandbox, before: Mapping[str, BookedAppointment]) -> list[str]:
    planned = {row.event_id: row for row in plan}
    differing = [row.event_id for row in plan if not _is_as_planned(row, sandbox.appointment(row.event_id))]
    untouched = [event for event in sandbox.store if event.id not in planned]
    return differing + [event.id for event in untouched if before.get(event.id) != event]


def _is_as_planned(row: PlanRow, event: BookedAppointment) -> bool:
    for name in SHOWN:
        wanted = getattr(row.update, name)
        if wanted is UNSET:
            continue
        if name in TIMES and isinstance(wanted, str):
            wanted = datetime.fromisoformat(wanted)
        if wanted != getattr(event, name):
            return False
    return True


_MOST_LINES: Final = 8


def _show_step(step: Step | str) -> None:
    """Print a command that starts, or its result."""
    _, console = make_consoles()
    if isinstance(step, str):
        console.print(Text(f"$ {step}", style="bold"), soft_wrap=True)
        return
    lines = step.output.splitlines()
    for line in lines[-_MOST_LINES:]:
        console.print(Text(f"  {line}"), soft_wrap=True)
    end = "killed half-way, as by a power cut" if step.killed else f"exit code {step.exit_code}"
    console.print(Text(f"  ({end}, {format_seconds(step.seconds)})", style="dim"))


def _print_report(report: DemoReport) -> None:
    """Print the result."""
    table = Table(title="A clinic day, moved and moved back", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    for name, value in _list_rows(report):
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
