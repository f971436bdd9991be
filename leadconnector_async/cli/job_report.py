"""Prints what a job would do, its state, and how it ended; with the command to run next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..exceptions import PlanError, RowFault
from ..jobs import JobStatus, JobSummary, Preview, RowOutcome, RowState
from ..jobs.states import ROW_STATES, TO_RETRY, count_rows, list_states
from .progress import describe_pause, format_end, format_seconds
from .terminal import print_line

_MOST_LOCATIONS: Final = 10
_MOST_OUTCOMES: Final = 20
_MOST_FAILED: Final = 5
_AS_PLANNED: Final = list_states("as planned")


def print_faults(console: Console, error: PlanError) -> None:
    """The invalid rows of a plan."""
    rows = _count(error.count, "invalid row")
    print_line(console, f"The plan has {rows}; nothing was changed.")
    _list_faults(console, error.faults, error.count)


def print_preview(console: Console, preview: Preview, now: datetime) -> None:
    """What a job would do."""
    print_line(console, _join(preview.counts, first="pending"))
    for example in preview.examples:
        words = ", ".join(filter(None, (example.title, example.name)))
        print_line(console, f"line {example.line}, {example.event_id}{words and f': {words}'}", 2)
        if example.move:
            print_line(console, example.move, 4)
        for field, before, after in example.differences:
            print_line(console, f"{field}: {before} -> {after}", 4)
    more = preview.counts.get("pending", 0) - len(preview.examples)
    if more > 0 and preview.examples:
        print_line(console, f"… and {more} more", 2)
    _print_loads(console, preview, now)


def print_refused(console: Console, preview: Preview) -> None:
    """The rows that are left out because they cannot be carried out."""
    if preview.faults:
        print_line(console, "These rows are left out:")
        _list_faults(console, preview.faults, preview.counts.get("refused", 0))


def print_warnings(console: Console, preview: Preview, file: str | None = None) -> None:
    """What can be sent, but may not be meant; and the file with all changes."""
    for warning in preview.warnings:
        print_line(console, f"Warning: {warning.text}.")
        print_line(console, f"Example: line {warning.line}, {warning.event_id}: {warning.example}", 2)
    if file is not None:
        print_line(console, f"All changes, to be signed off: {file}")


def print_summary(
    console: Console, folder: str, summary: JobSummary, now: datetime, *, has_files: bool = True
) -> None:
    """How a job ended."""
    _print_counts(console, summary)
    print_stops(console, summary, now)
    if has_files:
        print_line(console, f"Files: {folder}")
    else:
        console.print(Text(f"Write its files with: {build_command('report', folder)}"), soft_wrap=True)
    if summary.remaining:
        console.print(Text(f"Resume with: {build_command('resume', folder)}"), soft_wrap=True)
    elif count_rows(summary.counts, TO_RETRY):
        console.print(Text(f"Retry them with: {build_command('retry-failed', folder)}"), soft_wrap=True)
    elif summary.counts.get("unknown"):
        console.print(Text(f"Check them again with: {build_command('resume', folder)}"), soft_wrap=True)


def print_status(console: Console, folder: str, status: JobStatus, now: datetime) -> None:
    """The state of a job."""
    _print_counts(console, status.summary)
    if len(status.by_location) > 1:
        for location, counts in list(status.by_location.items())[:_MOST_LOCATIONS]:
            print_line(console, f"{location or 'own location'}: {_join(counts)}", 2)
        if len(status.by_location) > _MOST_LOCATIONS:
            print_line(console, f"… and {len(status.by_location) - _MOST_LOCATIONS} more locations", 2)
    _print_last_change(console, status, now)
    if status.resume_at is not None:
        words = describe_pause(status.resume_at, now)
        print_line(console, f"{words.capitalize()}")
    if "#" not in folder or "://" not in folder:
        print_line(console, f"Files: {folder}")
    elif status.phase != "done":
        print_line(console, f"State: {status.phase}, {_count(status.workers, 'worker')}")
    print_stops(console, status.summary, now)
    if status.summary.remaining:
        command = build_command("resume", folder)
        console.print(Text(f"If no process is running it, resume with: {command}"), soft_wrap=True)


def _print_last_change(console: Console, status: JobStatus, now: datetime) -> None:
    if sent := status.summary.counts.get("sent", 0):
        print_line(console, f"{_count(sent, 'row')} without a response yet: the change may have been applied.")
    if status.last_change is None:
        if not sent:
            print_line(console, "Nothing was changed yet.")
    else:
        last = datetime.fromtimestamp(status.last_change, now.tzinfo)
        ago = format_seconds((now - last).total_seconds())
        print_line(console, f"Last change: {last:%Y-%m-%d %H:%M:%S}, {ago} ago")


def print_stops(console: Console, summary: JobSummary, now: datetime) -> None:
    """Why it ended early."""
    for stopped in summary.stopped[:_MOST_LOCATIONS]:
        where = f"{stopped.location_id}: " if stopped.location_id else ""
        reason = stopped.reason.rstrip(".")
        again = ""
        if stopped.resume_seconds is not None:
            again = f" Resume after {format_end(stopped.resume_seconds, now)}."
        print_line(console, f"Stopped. {where}{reason[:1].upper()}{reason[1:]}.{again}")
    if len(summary.stopped) > _MOST_LOCATIONS:
        print_line(console, f"… and {len(summary.stopped) - _MOST_LOCATIONS} more locations")


class OutcomeSample:
    """The first rows of a run that have not become as planned, and how many there are."""

    def __init__(self) -> None:
        self._count = 0
        self._first: list[RowOutcome] = []

    def add(self, outcome: RowOutcome) -> None:
        """A row has ended."""
        if outcome.state in _AS_PLANNED:
            return
        self._count += 1
        if len(self._first) < _MOST_FAILED:
            self._first.append(outcome)

    def print(self, console: Console) -> None:
        """Which they are, and why; nothing if there are none."""
        print_outcomes(console, "Not as planned:", self._first)
        if self._count > len(self._first):
            print_line(console, f"… and {self._count - len(self._first)} more", 2)


def print_outcomes(console: Console, title: str, outcomes: Iterable[RowOutcome]) -> None:
    """The first rows with their outcomes, and how many more there are."""
    known = list(outcomes)
    if not known:
        return
    print_line(console, title)
    for outcome in known[:_MOST_OUTCOMES]:
        result = outcome.reason or ROW_STATES[outcome.state].words
        print_line(console, f"line {outcome.line}, {outcome.event_id}: {result}", 2)
    if len(known) > _MOST_OUTCOMES:
        print_line(console, f"… and {len(known) - _MOST_OUTCOMES} more", 2)


def build_command(command: str, folder: str) -> str:
    """What to type next."""
    return f"leadconnector {command} {shlex.quote(folder)}"


def _list_faults(console: Console, faults: Iterable[RowFault], count: int) -> None:
    known = list(faults)
    for fault in known:
        print_line(console, str(fault), 2)
    if count > len(known):
        print_line(console, f"… and {count - len(known)} more", 2)


def _print_counts(console: Console, summary: JobSummary) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for state, kind in ROW_STATES.items():
        if count := summary.counts.get(state, 0):
            table.add_row(kind.words, str(count))
    if summary.repeated:
        table.add_row("automations may have run twice", str(summary.repeated))
    console.print(table)


def _print_loads(console: Console, preview: Preview, now: datetime) -> None:
    total = sum(preview.requests.values())
    if not total:
        return
    print_line(console, f"{_count(total, 'request')}, {_forecast(preview.remaining_seconds, now)}")
    if len(preview.requests) == 1:
        return
    slowest = sorted(preview.requests, key=lambda one: -preview.seconds.get(one, 0.0))
    for location in slowest[:_MOST_LOCATIONS]:
        ending = _forecast(preview.seconds.get(location, 0.0), now)
        print_line(
            console, f"{location or 'own location'}: {_count(preview.requests[location], 'request')}, {ending}", 2
        )
    if len(slowest) > _MOST_LOCATIONS:
        print_line(console, f"… and {len(slowest) - _MOST_LOCATIONS} more locations", 2)


def _forecast(seconds: float, now: datetime) -> str:
    return f"about {format_seconds(max(1.0, seconds))}, until {format_end(seconds, now)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _join(counts: Mapping[RowState, int], first: RowState = "applied") -> str:
    states = sorted(ROW_STATES, key=lambda state: state != first)
    shown = (f"{counts[state]} {ROW_STATES[state].words}" for state in states if counts.get(state))
    return ", ".join(shown) or "no rows"
