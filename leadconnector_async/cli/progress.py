"""Progress of a job: a bar on a terminal, otherwise a line every few seconds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from ..jobs import JobProgress
from .terminal import print_line

SECONDS_BETWEEN_LINES: Final = 3.0


class _Bar(Progress):
    """The bar, and below it what needs attention, if anything does."""

    note = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.note:
            yield Text(self.note, style="yellow")


class JobScreen:
    """Shows a running job."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = _Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[counted]}"),
            TextColumn("{task.fields[rate]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("reading", total=None, rate="", counted="")
        self._next_line = 0.0

    @property
    def bar(self) -> RenderableType:
        """What it shows on a terminal."""
        return self._bar

    def start(self) -> None:
        """Start showing."""
        self._bar.start()

    def stop(self) -> None:
        """Stop showing."""
        self._bar.stop()

    def print_line(self, text: str) -> None:
        """One line."""
        print_line(self._console, text)

    def show_reading(self, count: int) -> None:
        """Show the number of appointments that were read."""
        self._bar.update(self._task, description="reading", completed=count, counted=str(count))

    def show(self, progress: JobProgress, elapsed: float) -> None:
        """Update the progress; `elapsed` is in seconds since the job began."""
        now = datetime.now().astimezone()
        rate, problems = describe_rate(progress, now), describe_problems(progress, now)
        self._bar.note = problems
        words, done, total = describe_phase(progress)
        counted = f"{done:>{len(str(total))}}/{total}"
        self._bar.update(self._task, description=words, total=total, completed=done, rate=rate, counted=counted)
        if not self._console.is_terminal and progress.total and elapsed >= self._next_line:
            self._next_line = elapsed + SECONDS_BETWEEN_LINES
            facts = [f"{done}/{total} done", rate, problems]
            if words != "changing":
                facts = [f"{words}: {done}/{total} done", problems]
            self.print_line(", ".join(fact for fact in facts if fact))


def describe_phase(progress: JobProgress) -> tuple[str, int, int]:
    """What a job is doing, and how many of how many rows are done; while it is prepared, locations."""
    match progress.phase:
        case "preparing" if progress.locations:
            return "reading locations", progress.prepared, progress.locations
        case "paused":
            return "paused", progress.done, progress.total
        case _:
            return "changing", progress.done, progress.total


def describe_rate(progress: JobProgress, now: datetime) -> str:
    """Rate, remaining time, and the clock time of the end."""
    rate = f"{progress.rate:.1f}/s"
    seconds = progress.remaining_seconds
    if not seconds or round(seconds) == 0:
        return rate
    return f"{rate}, {format_seconds(seconds)} left, until {_shorten_end(seconds, now)}"


def describe_problems(progress: JobProgress, now: datetime) -> str:
    """Failures, and why the job waits."""
    counts = (("failed", progress.failed), ("unknown", progress.unknown))
    facts = [f"{count} {name}" for name, count in counts if count]
    if progress.phase == "paused":
        facts.append(describe_pause(progress.resume_at, now))
    elif progress.pauses:
        location, reason = next(iter(progress.pauses.items()))
        more = len(progress.pauses) - 1
        where = f" in {location} and {more} more" if more else ""
        facts.append(f"waiting{where}: {reason}")
    return ", ".join(facts)


def describe_pause(resume_at: float | None, now: datetime) -> str:
    """That a job is paused, and until when if it is outside of its hours."""
    if resume_at is None:
        return "paused"
    return f"paused outside of its hours, until {format_end(resume_at - now.timestamp(), now)}"


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


def _shorten_end(seconds: float, now: datetime) -> str:
    """Like `format_end`, with the day of the week instead of the date where that is unambiguous."""
    end = now + timedelta(seconds=seconds)
    days = (end.date() - now.date()).days
    return f"{end:%a %H:%M}" if 0 < days < 7 else format_end(seconds, now)


def format_end(seconds: float, now: datetime) -> str:
    """The clock time in that many seconds, with the date if it is another day."""
    end = now + timedelta(seconds=seconds)
    return f"{end:%H:%M:%S}" if end.date() == now.date() else f"{end:%Y-%m-%d %H:%M}"
