"""What the tour looks like: each command, what it said, and what came of it all.

Rule: commands and their words go to stderr, the summary to stdout.
"""

from __future__ import annotations

from typing import Final

from rich.table import Table
from rich.text import Text

from .consoles import make_consoles
from .job_screen import format_seconds
from .tour import LIMITS, Step, TourReport

_MOST_LINES: Final = 8


def show_step(step: Step | str) -> None:
    """A command that begins, or one that has ended."""
    _, console = make_consoles()
    if isinstance(step, str):
        console.print(Text(f"$ {step}", style="bold"), soft_wrap=True)
        return
    lines = step.output.splitlines()
    for line in lines[-_MOST_LINES:]:
        console.print(Text(f"  {line}"), soft_wrap=True)
    end = "killed half-way, as by a power cut" if step.killed else f"exit code {step.exit_code}"
    console.print(Text(f"  ({end}, {format_seconds(step.seconds)})", style="dim"))


def print_report(report: TourReport) -> None:
    """Say what happened."""
    table = Table(title="A clinic day, moved and moved back", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    for name, value in _list_rows(report):
        table.add_row(name, value)
    console, _ = make_consoles()
    console.print(table)
    good = Text("Everything holds.", style="green")
    console.print(good if report.holds else Text("Something does not hold.", style="red"))


def _list_rows(report: TourReport) -> list[tuple[str, str]]:
    state = "equals the plan" if not report.differing else f"differs in {', '.join(report.differing)}"
    undone = "equals the state before" if not report.not_undone else f"differs in {', '.join(report.not_undone)}"
    return [
        ("planned", f"{report.planned} rows"),
        ("applied", f"{report.applied}, {report.applied_at_kill} of them when the process was killed"),
        ("applied twice", str(report.applied_twice)),
        ("faults", f"{report.faults_met} of {report.faults_planned} met on the way"),
        ("after resuming", f"the sandbox's state {state}"),
        ("after undoing", f"the sandbox's state {undone}"),
        ("requests", f"{report.requests}, {report.refused_for_rate} refused for their rate"),
        ("limit", f"{LIMITS.max_requests} requests in {LIMITS.interval:g} s"),
        ("took", format_seconds(report.seconds)),
    ]
