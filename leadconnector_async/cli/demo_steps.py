"""The commands of a demo, as processes of their own; and whether the sandbox then shows what it should."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct
from rich.text import Text

from .._api.fields import SHOWN, TIMES
from ..jobs import PlanRow
from ..sandbox import BookedAppointment, Sandbox
from .progress import format_seconds
from .terminal import make_consoles

_PROGRAM: Final = (sys.executable, "-c", "from leadconnector_async.cli import main; main()")
_MOST_LINES: Final = 8


class Step(Struct, kw_only=True):
    """One command and its result."""

    command: str
    exit_code: int
    seconds: float
    output: str
    """Its stdout, or its stderr if that is empty."""
    killed: bool = False


class Outcome(Struct, kw_only=True):
    """What every demo reports."""

    planned: int
    steps: list[Step] = []
    applied: int = 0
    """Changes of the plan that the server applied, those of the undo not counted."""
    applied_twice: int = 0
    """Changes of the plan that the server applied more than once."""
    applied_at_kill: int = 0
    """How many of them when a process was killed."""
    differing: list[str] = []
    """Ids of appointments that were not as planned after the job."""
    not_undone: list[str] = []
    """Ids of appointments that were not as before after the undo."""
    requests: int = 0
    """Requests that the server saw."""
    rate_limited: int = 0
    """429s."""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Every command that was not killed succeeded, one was killed, and the calendar was as it should be."""
        return (
            bool(self.steps)
            and all(step.killed or step.exit_code == 0 for step in self.steps)
            and any(step.killed for step in self.steps)
            and not (self.differing or self.not_undone or self.applied_twice)
        )

    def to_dict(self) -> dict[str, object]:
        """For JSON: all figures, and whether the demo passed."""
        return {**msgspec.to_builtins(self), "passed": self.passed}


Show: TypeAlias = Callable[[Step | str], None]
"""Called with every command before it starts, and with its result."""


class Running(Struct):
    """A command that runs."""

    process: asyncio.subprocess.Process
    command: str
    began: float


class Commands:
    """Runs commands in a folder, one after the other or beside each other."""

    def __init__(self, folder: str, account: Mapping[str, str], show: Show) -> None:
        """`account`: the variables that commands get, without their prefix."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LEADCONNECTOR_")}
        self._environment = kept | {f"LEADCONNECTOR_{name}": value for name, value in account.items()}
        self._folder = folder
        self._show = show
        self.steps: list[Step] = []
        """Those that have ended."""

    async def do(self, *arguments: str) -> Step:
        """Run a command to its end."""
        return await self.end(await self.start(*arguments))

    async def start(self, *arguments: str) -> Running:
        """Start a command."""
        command = shlex.join(("leadconnector", *arguments))
        self._show(command)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *_PROGRAM, *arguments, cwd=self._folder, env=self._environment, stdout=pipe, stderr=pipe
        )
        return Running(process, command, asyncio.get_running_loop().time())

    async def end(self, running: Running, *, killed: bool = False) -> Step:
        """Wait for the end of a command."""
        out, err = await running.process.communicate()
        step = Step(
            command=running.command,
            exit_code=running.process.returncode or 0,
            seconds=asyncio.get_running_loop().time() - running.began,
            output=(out or err).decode("utf-8", "replace").strip(),
            killed=killed,
        )
        self.steps.append(step)
        self._show(step)
        return step


def show_step(step: Step | str) -> None:
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


def write_text(path: Path, content: str) -> None:
    """Write a file of the demo."""
    path.write_text(content, "utf-8")


def take_snapshot(sandbox: Sandbox, plan: Iterable[PlanRow]) -> dict[str, BookedAppointment]:
    """All appointments, and the instances of series that the plan names."""
    planned = {row.event_id: sandbox.appointment(row.event_id) for row in plan}
    return planned | {event.id: event for event in sandbox.store}


def find_differences(
    plan: Iterable[PlanRow], sandbox: Sandbox, before: Mapping[str, BookedAppointment]
) -> list[str]:
    """Ids of appointments that are not as planned; of others, those that are not as before."""
    planned = {row.event_id: row for row in plan}
    differing = [row.event_id for row in planned.values() if not _is_as_planned(row, sandbox)]
    untouched = [event for event in sandbox.store if event.id not in planned]
    return differing + [event.id for event in untouched if before.get(event.id) != event]


def _is_as_planned(row: PlanRow, sandbox: Sandbox) -> bool:
    event = sandbox.appointment(row.event_id)
    for name in SHOWN:
        wanted = getattr(row.update, name)
        if wanted is UNSET:
            continue
        if name in TIMES and isinstance(wanted, str):
            wanted = datetime.fromisoformat(wanted)
        if wanted != getattr(event, name):
            return False
    return True
