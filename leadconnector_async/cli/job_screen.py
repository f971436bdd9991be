"""What a job looks like: what it would do, where it stands, how it ended.

Rule: progress and questions go to stderr, the summary to stdout. Nothing moves where there is no terminal, and
nothing has a colour where none is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ..exceptions import PlanError
from ..jobs import JobProgress, JobStatus, JobSummary, Preview, RowOutcome

SECONDS_BETWEEN_LINES: Final = 3.0
_MOST_LOCATIONS: Final = 10
_WORDS: Final = {
    "applied": "applied",
    "in_place": "in place already",
    "failed": "failed",
    "skipped": "left out",
    "refused": "refused",
    "unknown": "outcome unknown",
    "ready": "to go",
    "sent": "to be looked at again",
    "loaded": "not read yet",
}


class JobScreen:
    """Shows a job on its way."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("reading", total=None, facts="")
        self._next_line = 0.0

    def start(self) -> None:
        """Begin to show."""
        self._bar.start()

    def stop(self) -> None:
        """Leave the screen to others."""
        self._bar.stop()

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(Text(text), soft_wrap=True)

    def show_reading(self, count: int) -> None:
        """So many appointments were read."""
        self._bar.update(self._task, description="reading", completed=count)

    def show(self, progress: JobProgress, elapsed: float) -> None:
        """Take over where the job stands; `elapsed` are seconds since it began."""
        facts = describe_progress(progress, datetime.now().astimezone())
        self._bar.update(
            self._task, description="changing", total=progress.total, completed=progress.done, facts=facts
        )
        if not self._console.is_terminal and elapsed >= self._next_line:
            self._next_line = elapsed + SECONDS_BETWEEN_LINES
            self.say(f"{progress.done}/{progress.total} done, {facts}")


def describe_progress(progress: JobProgress, now: datetime) -> str:
    """Rate, finish, what went wrong, and why it waits."""
    facts = [f"{progress.rate:.1f}/s"]
    if progress.left_seconds:
        finish = now + timedelta(seconds=progress.left_seconds)
        facts.append(f"{format_seconds(progress.left_seconds)} left, until {finish:%H:%M:%S}")
    facts += [f"{count} {name}" for name, count in _list_troubles(progress) if count]
    if progress.pauses:
        location, reason = next(iter(progress.pauses.items()))
        others = f" and {len(progress.pauses) - 1} more" if len(progress.pauses) > 1 else ""
        facts.append(f"waiting{f' in {location}{others}' if len(progress.pauses) > 1 else ''}: {reason}")
    return ", ".join(facts)


def _list_troubles(progress: JobProgress) -> list[tuple[str, int]]:
    return [("failed", progress.failed), ("unknown", progress.unknown)]


def format_seconds(seconds: float) -> str:
    """A duration, such as `4 s`, `2 min 5 s` or `1 d 3 h`."""
    whole = max(0, round(seconds))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for name, size in units:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def print_faults(console: Console, error: PlanError) -> None:
    """Every bad row of a plan."""
    rows = "row" if error.count == 1 else "rows"
    console.print(Text(f"The plan has {error.count} bad {rows}; nothing was changed."))
    for fault in error.faults:
        console.print(Text(f"  {fault}"), soft_wrap=True)
    if error.count > len(error.faults):
        console.print(Text(f"  … and {error.count - len(error.faults)} more"))


def print_preview(console: Console, preview: Preview) -> None:
    """What a job would do."""
    console.print(Text(_join(preview.counts.items())))
    for example in preview.examples:
        console.print(Text(f"  line {example.line}, {example.event_id}"), soft_wrap=True)
        for field, before, after in example.differences:
            console.print(Text(f"    {field}: {before} -> {after}"), soft_wrap=True)
    more = preview.counts.get("ready", 0) - len(preview.examples)
    if more > 0:
        console.print(Text(f"  … and {more} more"))
    _print_loads(console, preview)


def _print_loads(console: Console, preview: Preview) -> None:
    total = sum(preview.requests.values())
    if not total:
        return
    console.print(Text(f"{total} requests, about {format_seconds(preview.left_seconds)}"))
    if len(preview.requests) == 1:
        return
    slowest = sorted(preview.requests, key=lambda one: -preview.seconds.get(one, 0.0))
    for location in slowest[:_MOST_LOCATIONS]:
        seconds = format_seconds(preview.seconds.get(location, 0.0))
        console.print(Text(f"  {location or 'own location'}: {preview.requests[location]}, about {seconds}"))
    if len(slowest) > _MOST_LOCATIONS:
        console.print(Text(f"  … and {len(slowest) - _MOST_LOCATIONS} locations more"))


def print_summary(console: Console, folder: str, summary: JobSummary) -> None:
    """How a job ended, or where it stands."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    counts: dict[str, int] = {str(state): count for state, count in summary.counts.items()}
    for state, words in _WORDS.items():
        if count := counts.get(state, 0):
            table.add_row(words, str(count))
    if summary.repeated:
        table.add_row("automations may have run twice", str(summary.repeated))
    console.print(table)
    for stopped in summary.stopped:
        where = f"{stopped.location_id}: " if stopped.location_id else ""
        again = ""
        if stopped.resume_seconds is not None:
            when = datetime.now().astimezone() + timedelta(seconds=stopped.resume_seconds)
            again = f" Resume after {when:%Y-%m-%d %H:%M}."
        console.print(Text(f"Stopped. {where}{stopped.reason}{again}"), soft_wrap=True)
    console.print(Text(f"Files: {folder}"), soft_wrap=True)
    if summary.left:
        console.print(Text(f"Go on with: leadconnector resume {folder}"), soft_wrap=True)


def print_locations(console: Console, status: JobStatus) -> None:
    """Where each location stands, if there are several."""
    if len(status.by_location) < 2:
        return
    for location, counts in list(status.by_location.items())[:_MOST_LOCATIONS]:
        console.print(Text(f"  {location}: {_join(counts.items())}"), soft_wrap=True)
    if len(status.by_location) > _MOST_LOCATIONS:
        console.print(Text(f"  … and {len(status.by_location) - _MOST_LOCATIONS} locations more"))


def print_outcomes(console: Console, title: str, outcomes: Iterable[RowOutcome], most: int = 20) -> None:
    """Rows with their reasons."""
    known = list(outcomes)
    if not known:
        return
    console.print(Text(title))
    for outcome in known[:most]:
        console.print(Text(f"  line {outcome.line}, {outcome.event_id}: {outcome.reason}"), soft_wrap=True)
    if len(known) > most:
        console.print(Text(f"  … and {len(known) - most} more"))


def _join(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {_WORDS[state]}" for state, count in counts) or "no rows"
