"""What jobs look like, held against recorded screens at 80 and 120 columns, and without a terminal.

`RECORD_SCREENS=1 pytest tests/cli/test_demo.py` writes them anew: look at them before they are committed.
"""

import io
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from leadconnector_async.cli.app import app
from leadconnector_async.cli.job_report import (
    print_faults,
    print_outcomes,
    print_preview,
    print_refused,
    print_status,
    print_summary,
    print_warnings,
)
from leadconnector_async.cli.progress import JobScreen, format_end, format_seconds
from leadconnector_async.exceptions import PlanError, RowFault
from leadconnector_async.jobs import JobProgress, JobStatus, JobSummary, Preview, RowOutcome, Stopped
from leadconnector_async.jobs.prepare.plan_warnings import PlanWarning
from leadconnector_async.jobs.prepare.preview import Example

RECORDED = Path(__file__).parent / "recorded"
NOW = datetime(2027, 3, 10, 21, 30, tzinfo=UTC)
BAD = RowFault(
    62, "start_time", "2027-03-14T02:30:00 does not exist in America/New_York", "write it with an offset"
)
TAKEN = RowFault(
    7, "start_time", "its time is taken by 5PISDEA0g9XH2zGKNERI, which stays where it is", "move it too"
)
MOVE = "Wed 2027-03-10 08:00 (UTC-05:00) -> Wed 2027-03-17 08:00 (UTC-04:00)"
TITLE = ("title", "'Follow-up'", "'Follow-up with Dr. [bold]Ann[/] Lee, moved from the tenth because of the snow'")
EXAMPLES = (
    Example(2, "EWoEjmGE628b0m6zivxZ", (), "Check-up", MOVE),
    Example(3, "TUyhtDtk8xHvRxW7HPtd", (("length", "15 min", "30 min"), TITLE), "Follow-up", MOVE),
)
WARNINGS = (
    PlanWarning(
        "night",
        2,
        "2 rows move appointments to the night (22:00-06:00)",
        4,
        "5PISDEA0g9XH2zGKNERI",
        "Wed 2027-03-10 09:00 -> Wed 2027-03-10 23:00 (UTC-05:00)",
    ),
)
MANY = {f"lDoM42EAHvvAVikP1z{number:02}": 30 * number for number in range(1, 13)}


def show_preview(console: Console) -> None:
    counts = {"pending": 245, "unchanged": 2, "refused": 1}
    preview = Preview(
        counts=counts,  # type: ignore[arg-type]
        examples=EXAMPLES,
        faults=(TAKEN,),
        requests={"lDoM42EAHvvAVikP1zmC": 248},
        seconds={"lDoM42EAHvvAVikP1zmC": 21.4},
        warnings=WARNINGS,
    )
    print_preview(console, preview, NOW)
    print_refused(console, preview)
    print_warnings(console, preview)


def show_preview_of_many_locations(console: Console) -> None:
    seconds = {location: count / 8 for location, count in MANY.items()} | {"lDoM42EAHvvAVikP1z03": 9000.0}
    preview = Preview(
        counts={"pending": sum(MANY.values())}, examples=(), faults=(), requests=MANY, seconds=seconds
    )
    print_preview(console, preview, NOW)


def show_faults(console: Console) -> None:
    print_faults(console, PlanError("x", (TAKEN, BAD), 1002))


def show_ends(console: Console) -> None:
    ends = [
        JobSummary(counts={"applied": 246, "unchanged": 4}, repeated=2),
        JobSummary(counts={"applied": 246, "failed": 3, "skipped": 1}),
        JobSummary(counts={"applied": 246, "unknown": 4}),
        JobSummary(
            counts={"applied": 40, "pending": 208, "sent": 2},
            stopped=(Stopped("interrupted", "it was interrupted"),),
        ),
        JobSummary(
            counts={"applied": 40, "pending": 210},
            stopped=(
                Stopped("daily", "The daily budget of the location is spent", "lDoM42EAHvvAVikP1zmC", 30_000.0),
            ),
        ),
        JobSummary(
            counts={"loaded": 250},
            stopped=(
                Stopped(
                    "authentication",
                    "The server refused the token: Invalid Private Integration token. Make a new one under "
                    "Settings > Private Integrations",
                    "lDoM42EAHvvAVikP1zmC",
                ),
            ),
        ),
    ]
    for number, summary in enumerate(ends):
        folder = "day.job" if number else "/srv/clinic's plans/day.job"
        print_summary(console, folder, summary, NOW)
        console.print()


def show_status(console: Console) -> None:
    by_location = {
        "lDoM42EAHvvAVikP1zmC": {"applied": 80, "pending": 20},
        "x7GmzWbOPbsT6aPDk0lW": {"applied": 40, "failed": 1},
    }
    status = JobStatus(
        summary=JobSummary(counts={"applied": 120, "pending": 20, "failed": 1}),
        by_location=by_location,  # type: ignore[arg-type]
        last_change=NOW.timestamp() - 64,
    )
    print_status(console, "day.job", status, NOW)


def show_outcomes(console: Console) -> None:
    reason = "The slot you have selected is no longer available. It is taken, off the grid, or too soon."
    outcomes = [
        RowOutcome(line=2, event_id="EWoEjmGE628b0m6zivxZ", state="applied"),
        RowOutcome(line=3, event_id="TUyhtDtk8xHvRxW7HPtd", state="failed", reason=reason),
    ]
    print_outcomes(console, "The first rows:", outcomes)


SCREENS: dict[str, Callable[[Console], None]] = {
    "preview": show_preview,
    "preview-of-many-locations": show_preview_of_many_locations,
    "faults": show_faults,
    "ends": show_ends,
    "status": show_status,
    "outcomes": show_outcomes,
}
QUIET = JobProgress(done=120, total=250, applied=120, failed=0, unknown=0, rate=9.8, remaining_seconds=13.2)
WAITING = JobProgress(
    done=12_120,
    total=125_000,
    applied=12_000,
    failed=118,
    unknown=2,
    rate=9.8,
    remaining_seconds=11_400.0,
    pauses={"lDoM42EAHvvAVikP1zmC": "9 s more, the server refused a request for its rate (429)"},
)


class Clock(datetime):
    """Always the same time, in its own zone."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Clock":
        return cls(2027, 3, 10, 21, 30, tzinfo=UTC)

    def astimezone(self, tz: tzinfo | None = None) -> "Clock":
        return self


def compare(name: str, shown: str) -> None:
    path = RECORDED / f"{name}.txt"
    if os.environ.get("RECORD_SCREENS"):
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")


def make_console(width: int, *, terminal: bool) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=terminal,
        no_color=True,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    return console, file


def strip(text: str) -> str:
    """Without what moves the cursor or makes bold, and without spaces at the ends of lines."""
    return re.sub(r"[ ]+$", "", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text), flags=re.MULTILINE)


@pytest.mark.parametrize("name", SCREENS)
@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_what_was_recorded(name: str, width: int) -> None:
    """Nothing is wider than the terminal but a command to copy, and lines break between words."""
    console, file = make_console(width, terminal=True)
    SCREENS[name](console)
    shown = strip(file.getvalue())
    compare(f"{name}-{width}", shown)
    assert all(len(line) <= width or "leadconnector " in line for line in shown.splitlines())


@pytest.mark.parametrize("name", SCREENS)
def test_without_a_terminal_each_fact_is_one_line_without_control_characters(name: str) -> None:
    """A log can be searched: nothing is broken at a width that nobody has."""
    console, file = make_console(80, terminal=False)
    SCREENS[name](console)
    assert "\x1b" not in file.getvalue()
    compare(f"{name}-no-terminal", strip(file.getvalue()))


@pytest.mark.parametrize("width", [80, 120])
def test_the_bar_fits(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Done, rate and finish in one line; what went wrong, and why it waits, below it."""
    monkeypatch.setattr("leadconnector_async.cli.progress.datetime", Clock)
    console, file = make_console(width, terminal=True)
    for progress in (QUIET, WAITING):
        screen = JobScreen(console)
        screen.show(progress, 1.0)
        console.print(screen.bar)
    shown = strip(file.getvalue())
    compare(f"bar-{width}", shown)
    assert max(map(len, shown.splitlines())) <= width


def test_without_a_terminal_progress_is_a_line_every_few_seconds() -> None:
    """Whatever happens in between, and no control characters."""
    console, file = make_console(80, terminal=False)
    screen = JobScreen(console)
    screen.start()
    for tenths in range(70):
        screen.show(WAITING, tenths / 10)
    screen.stop()
    lines = file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("12120/125000 done, 9.8/s, 3 h 10 min left, until ")
    assert lines[0].endswith(
        ", 118 failed, 2 unknown, waiting: 9 s more, the server refused a request for its rate (429)"
    )
    assert "\x1b" not in file.getvalue()


def test_a_job_that_somebody_has_paused_says_so() -> None:
    """Whatever it would wait for otherwise."""
    console, file = make_console(80, terminal=False)
    screen = JobScreen(console)
    screen.show(structs.replace(WAITING, phase="paused"), 0.0)
    assert file.getvalue().endswith(", 118 failed, 2 unknown, paused\n")


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `NO_COLOR`, a terminal gets no colour; without it, it does."""
    shown: list[str] = []
    for value in ("1", ""):
        monkeypatch.setenv("NO_COLOR", value)
        file = io.StringIO()
        console = Console(file=file, width=80, force_terminal=True, color_system="standard", legacy_windows=False)
        screen = JobScreen(console)
        screen.show(WAITING, 1.0)
        console.print(screen.bar)
        shown.append(file.getvalue())
    colour = re.compile(r"\x1b\[[0-9;]*[39][0-7]m")
    assert not colour.search(shown[0])
    assert colour.search(shown[1])


@pytest.mark.parametrize(
    ("seconds", "words", "end"),
    [
        (0.2, "0 s", "21:30:00"),
        (59.6, "1 min", "21:30:59"),
        (125, "2 min 5 s", "21:32:05"),
        (9000, "2 h 30 min", "2027-03-11 00:00"),
        (2 * 86_400 + 3661, "2 d 1 h", "2027-03-12 22:31"),
    ],
)
def test_durations_are_said_in_two_units_and_ends_by_the_clock(seconds: float, words: str, end: str) -> None:
    """And with the day, where it is another one."""
    assert format_seconds(seconds) == words
    assert format_end(seconds, NOW) == end


@pytest.mark.parametrize("command", ["reschedule", "resume", "retry-failed", "status", "verify", "undo"])
def test_the_help_of_a_command_teaches(command: str) -> None:
    """What it does, an example to copy, and what its exit code means, within 80 columns."""
    console, file = make_console(80, terminal=False)
    app.help_print([command], console=console)
    shown = file.getvalue()
    assert f"Example: leadconnector {command} day." in shown
    assert "\n0 done; " in shown
    assert "[default: False]" not in shown
    assert max(map(len, shown.splitlines())) <= 80
