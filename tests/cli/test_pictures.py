"""What a whole job shows on terminals of 80 and 120 columns: preview, run, pause, summary, and nothing cut."""

import re
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from leadconnector_async.cli import errors, job_report, jobs, reschedule, session
from leadconnector_async.cli.arguments import Shown
from leadconnector_async.cli.progress import JobScreen
from leadconnector_async.cli.reschedule import Running
from leadconnector_async.sandbox import Sandbox

from .test_demo import NOW, SCREENS, WAITING, Clock, compare, make_console, strip

pytestmark = pytest.mark.sandbox(appointments=8)
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?(?: \(UTC[^)]*\))?")
LONG = "Root canal, the second of three, moved from the tenth because of the snow and the strike"
WIDTHS = pytest.mark.parametrize("width", [80, 120])
OUTSIDE_OF_ITS_HOURS = structs.replace(
    WAITING, phase="paused", rate=0.0, remaining_seconds=41_400.0, pauses={}, resume_at=NOW.timestamp() + 1800
)


def check_picture(shown: str, whole: str, width: int) -> None:
    """Nothing is wider than the terminal but a command to copy, and words and times are as in the whole text."""
    lines = shown.splitlines()
    assert [line for line in lines if len(line) > width and "leadconnector " not in line] == []
    assert shown.split() == whole.split()
    assert MOMENT.findall(shown) == MOMENT.findall(whole)
    assert not re.search(r"HTTP (\d+): HTTP \1", shown)
    assert "…\n" not in shown


@WIDTHS
@pytest.mark.parametrize("name", SCREENS)
def test_no_word_and_no_time_is_cut(name: str, width: int) -> None:
    """A line breaks between them."""
    pictures = []
    for terminal in (True, False):
        console, file = make_console(width, terminal=terminal)
        SCREENS[name](console)
        pictures.append(strip(file.getvalue()))
    check_picture(*pictures, width)


@WIDTHS
def test_a_pause_says_until_when(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the bar, whole."""
    monkeypatch.setattr("leadconnector_async.cli.progress.datetime", Clock)
    console, file = make_console(width, terminal=True)
    screen = JobScreen(console)
    screen.show(OUTSIDE_OF_ITS_HOURS, 1.0)
    console.print(screen.bar)
    shown = strip(file.getvalue())
    compare(f"pause-{width}", shown)
    assert max(map(len, shown.splitlines())) <= width
    assert "118 failed, 2 unknown, paused outside of its hours, until 22:00:00" in " ".join(shown.split())


@WIDTHS
async def test_a_whole_job_can_be_read(
    account: Sandbox, width: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the preview with names and warnings to the rows that failed, and its undo."""
    monkeypatch.chdir(tmp_path)
    ids = account.appointment_ids
    account.edit_appointment(ids[0], title=LONG, appointment_status="noshow")
    starts = {one: account.appointment(one).start_time + timedelta(days=7) for one in ids}
    lines = [f"{one},{start.isoformat()}" for one, start in starts.items()]
    Path("day.csv").write_text("\n".join(["event_id,start_time", *lines]) + "\n")
    account.faults.plan("update_appointment", ["400", "422"])
    console, file = make_console(width, terminal=True)

    def make_consoles() -> tuple[Console, Console]:
        return console, console

    for module in (errors, job_report, jobs, session):
        if hasattr(module, "make_consoles"):
            monkeypatch.setattr(module, "make_consoles", make_consoles)
    shown = Shown(names=True, check_slots=True, preview="day.html")
    assert await reschedule.reschedule("day.csv", yes=True, shown=shown, running=Running(concurrency=1)) == 1
    assert await jobs.status("day.job") == 1
    assert await jobs.undo("day.job", yes=True) == 0
    picture = strip(file.getvalue().replace("\r", "\n"))
    for words in (
        "8 to change",
        LONG[:20],
        "Not as planned:",
        f"HTTP 422: {HTTPStatus(422).phrase}",
        "Last change:",
    ):
        assert words in picture
    assert [line for line in picture.splitlines() if len(line) > width and "leadconnector " not in line] == []
    for line in picture.splitlines():
        assert not re.search(r"\d{4}-\d\d-\d\d$|HTTP (\d+): HTTP \1|\w…$", line), line
    assert "a zone that is not the calendar's" not in picture
