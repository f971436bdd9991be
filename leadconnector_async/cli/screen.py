"""What the tour looks like: a progress bar with rate and pauses, and a summary.

Rule: progress goes to stderr, the summary to stdout; nothing moves where there is no terminal.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from .tour import Progress, TourReport

_SECONDS_BETWEEN_LINES = 3.0


class Screen:
    """Shows where the tour stands."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("[bold]rescheduling"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, rate="", note="")
        self._next_line = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Take over where the tour stands."""
        elapsed = self._bar.tasks[0].elapsed or 0.0
        rate = f"{progress.done / elapsed:5.1f}/s" if elapsed else ""
        note = "[yellow]limit reached, waiting[/]" if progress.waiting else f"{progress.retried} retried"
        self._bar.update(self._task, total=progress.total, completed=progress.done, rate=rate, note=note)
        if not self._console.is_terminal:
            self._print_line(progress, elapsed, rate.strip())

    def _print_line(self, progress: Progress, elapsed: float, rate: str) -> None:
        if elapsed < self._next_line and progress.done < progress.total:
            return
        self._next_line = elapsed + _SECONDS_BETWEEN_LINES
        waiting = ", limit reached, waiting" if progress.waiting else ""
        self._console.print(
            f"{progress.done}/{progress.total} updated, {rate}, {progress.retried} retried{waiting}"
        )


def print_report(report: TourReport) -> None:
    """Say what happened."""
    table = Table(title="A clinic day, rescheduled", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    for name, value in _list_rows(report):
        table.add_row(name, value)
    console = Console()
    console.print(table)
    for failure in report.failed:
        console.print(failure, markup=False)
    console.print("[green]Everything holds.[/]" if report.holds else "[red]Something does not hold.[/]")


def _list_rows(report: TourReport) -> list[tuple[str, str]]:
    state = "equals the plan" if not report.differing else f"differs in {', '.join(report.differing)}"
    window = f"{report.most_in_window} at most in any {report.interval:g} s, {report.limit} allowed"
    return [
        ("updated", f"{report.updated} of {report.planned} in {report.seconds:.1f} s"),
        ("retried", f"{report.retried} after {report.faults_met} of {report.faults_planned} planned faults"),
        ("paused", f"{report.pauses} times for the limit, {report.paused_seconds:.1f} s in all"),
        ("refused for rate", str(report.refused_for_rate)),
        ("requests", f"{report.requests} seen by the server, {report.attempts} reported; {window}"),
        ("sandbox's state", state),
    ]
