"""What a job command does where something is odd, in this process: quicker than a process for each."""

import io
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.cli import jobs
from leadconnector_async.cli import reschedule as cli_reschedule
from leadconnector_async.cli.arguments import ACCOUNT, Account
from leadconnector_async.cli.jobs import resume, retry_failed, status, undo
from leadconnector_async.cli.reschedule import Running, reschedule
from leadconnector_async.cli.session import JobSession, ask
from leadconnector_async.sandbox import Sandbox

from ..conftest import QUICK
from ..jobs.jobbing import FAST, picture, writes

Output = pytest.CaptureFixture[str]


@pytest.fixture
async def clinic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox that the commands work for, in an empty folder."""
    async with Sandbox(limits=FAST, appointments=12, locations=2) as sandbox:

        def make_client(
            account: Account = ACCOUNT, reserve: int | None = None, *, to_write: str | None = None, place: str = ""
        ) -> LeadConnector:
            return LeadConnector(sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id, retry=QUICK)

        monkeypatch.setattr(cli_reschedule, "make_client", make_client)
        monkeypatch.setattr(jobs, "make_client", make_client)
        monkeypatch.chdir(tmp_path)
        yield sandbox


def write_plan(*lines: str) -> str:
    Path("day.csv").write_text("\n".join(["event_id,title,assigned_user_id,location_id", *lines]) + "\n")
    return "day.csv"


def retitle(clinic: Sandbox, count: int) -> list[str]:
    return [f"{event_id},New title,," for event_id in clinic.appointment_ids[:count]]


def answer(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """There is a terminal, and somebody at it."""
    monkeypatch.setattr("leadconnector_async.cli.session.has_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{one}\n" for one in answers)))


async def test_a_calendar_that_cannot_be_read_ends_with_5_and_keeps_the_job(
    clinic: Sandbox, capsys: Output
) -> None:
    """Nothing is asked and nothing is sent; the command to go on with is said, and works."""
    plan = write_plan(*retitle(clinic, 3))
    clinic.faults.plan("get_appointment", ["503"] * 5)
    assert await reschedule(plan) == 5
    said = capsys.readouterr()
    assert "3 not read yet" in said.err
    assert "Resume with: leadconnector resume day.job" in said.out
    assert "[y/N]" not in said.err
    assert await resume("day.job") == 0
    assert len(writes(clinic)) == 3


async def test_a_location_without_a_token_holds_up_no_other(clinic: Sandbox, capsys: Output) -> None:
    """The other one is changed; the exit code says what is to be mended, and each location where it stands."""
    other = clinic.location_ids[1]
    plan = write_plan(*retitle(clinic, 2), f"{clinic.find_appointment_ids(other)[0]},New title,,{other}")
    assert await reschedule(plan, yes=True) == 4
    assert len(writes(clinic)) == 2
    capsys.readouterr()
    assert await status("day.job") == 5
    said = capsys.readouterr().out
    assert f"{clinic.location_id}: 2 applied" in said
    assert f"{other}: 1 not read yet" in said
    assert "Last change: " in said


async def test_a_dry_run_says_why_it_could_not_look(clinic: Sandbox, capsys: Output) -> None:
    """In words and as a code; and it still leaves nothing behind."""
    plan = write_plan(*retitle(clinic, 3))
    clinic.expire_token(clinic.token)
    assert await reschedule(plan, dry_run=True, json_output=True) == 4
    said = capsys.readouterr()
    assert json.loads(said.out)["exit_code"] == 4
    assert "Stopped. " in said.err
    assert os.listdir() == ["day.csv"]


async def test_a_dry_run_shows_the_good_rows_beside_the_bad_ones(clinic: Sandbox, capsys: Output) -> None:
    """Exit code 2, either way: with `--skip-refused` the bad rows are named as left out."""
    plan = write_plan(*retitle(clinic, 2), "unknown,New title,,")
    for skip in (False, True):
        assert await reschedule(plan, dry_run=True, running=Running(skip_refused=skip)) == 2
        said = capsys.readouterr().err
        assert "2 to change, 1 refused" in said
        assert "line 4, event_id: the event is deleted or unknown; remove the row, or correct the id" in said
    assert not writes(clinic)
    assert await reschedule(plan, yes=True, running=Running(skip_refused=True), canary=1) == 1
    assert len(writes(clinic)) == 2


async def test_nothing_is_changed_without_a_yes(
    clinic: Sandbox, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything else is a no, and leaves nothing behind."""
    plan = write_plan(*retitle(clinic, 2))
    answer(monkeypatch, "no", "y")
    assert await reschedule(plan) == 2
    assert "Change 2 appointments? [y/N] " in capsys.readouterr().err
    assert (os.listdir(), writes(clinic)) == (["day.csv"], [])
    assert await reschedule(plan) == 0
    assert len(writes(clinic)) == 2


async def test_the_first_rows_are_read_again_shown_and_asked_about(
    clinic: Sandbox, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only they are read again; a no leaves the others for `resume`."""
    plan = write_plan(*retitle(clinic, 8))
    answer(monkeypatch, "y", "n")
    assert await reschedule(plan, canary=2) == 5
    said = capsys.readouterr()
    assert f"line 2, {clinic.appointment_ids[0]}: applied" in said.err
    assert "Change the remaining 6? [y/N] " in said.err
    assert "leadconnector resume day.job" in said.out
    assert writes(clinic) == [*clinic.appointment_ids[:2]]
    assert clinic.appointment_ids[1] in [one.event_id for one in clinic.requests.of("get_appointment")]
    assert await resume("day.job") == 0
    assert sorted(writes(clinic)) == sorted(clinic.appointment_ids[:8])
    assert clinic.appointment_ids[7] not in [one.event_id for one in clinic.requests.of("get_appointment")]


class Desk(io.StringIO):
    """Somebody at a terminal who answers, and somebody else who edits the calendar meanwhile."""

    def __init__(self, *turns: tuple[str, Callable[[], object]]) -> None:
        super().__init__()
        self._turns = list(turns)

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        said, act = self._turns.pop(0)
        act()
        return f"{said}\n"


@pytest.mark.parametrize(("second", "code", "count"), [("y", 1, 3), ("n", 2, 0)])
async def test_what_is_edited_while_the_question_stands_is_shown_and_asked_about_again(
    clinic: Sandbox, capsys: Output, monkeypatch: pytest.MonkeyPatch, second: str, code: int, count: int
) -> None:
    """A yes to the first question is no yes to what has changed; the edit survives either way."""
    plan, event_id = write_plan(*retitle(clinic, 4)), clinic.appointment_ids[1]
    answer(monkeypatch)

    def edit() -> None:
        clinic.edit_appointment(event_id, appointment_status="cancelled")

    monkeypatch.setattr("sys.stdin", Desk(("y", edit), (second, lambda: None)))
    assert await reschedule(plan) == code
    said = capsys.readouterr().err
    assert (
        f"line 3, {event_id}: changed by somebody else: appointment_status was 'confirmed', is 'cancelled'" in said
    )
    assert "Change 4 appointments? [y/N] " in said
    assert "Change 3 appointments? [y/N] " in said
    assert len(writes(clinic)) == count
    assert clinic.appointment(event_id).appointment_status == "cancelled"
    if count:
        assert event_id in Path("day.job/failed.csv").read_text()
        assert await resume("day.job") == 1


async def test_a_job_whose_rows_were_edited_before_the_first_write_can_go_on_without_them(
    clinic: Sandbox, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped after its question: `resume` ends with 2 and says how, `resume --skip-refused` goes on."""
    plan, event_id = write_plan(*retitle(clinic, 3)), clinic.appointment_ids[0]

    async def run_nothing(session: JobSession, canary: int | None) -> int:
        return 5

    with monkeypatch.context() as patched:
        patched.setattr(JobSession, "_run_all", run_nothing)
        assert await reschedule(plan, yes=True) == 5
    clinic.edit_appointment(event_id, title="By hand")
    assert await resume("day.job") == 2
    assert "--skip-refused" in capsys.readouterr().err
    assert not writes(clinic)
    assert await resume("day.job", skip_refused=True) == 1
    assert (len(writes(clinic)), clinic.appointment(event_id).title) == (2, "By hand")
    assert await resume("day.job") == 1


async def test_edits_are_asked_about_again_until_there_are_none(
    clinic: Sandbox, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nothing remains to be changed: that is said, and nothing is sent."""
    plan, ids = write_plan(*retitle(clinic, 2)), clinic.appointment_ids
    answer(monkeypatch)
    turns = [("y", partial(clinic.edit_appointment, one, title="By hand")) for one in ids[:2]]
    monkeypatch.setattr("sys.stdin", Desk(*turns))
    assert await reschedule(plan) == 2
    assert "No appointment remains to be changed." in capsys.readouterr().err
    assert not writes(clinic)


async def test_the_others_are_looked_at_again_after_the_first_rows(
    clinic: Sandbox, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second question of a canary stands as long as the first: what is edited meanwhile is left out."""
    plan, event_id = write_plan(*retitle(clinic, 5)), clinic.appointment_ids[4]
    answer(monkeypatch)
    edit = partial(clinic.edit_appointment, event_id, title="By hand")
    monkeypatch.setattr("sys.stdin", Desk(("y", lambda: None), ("y", edit), ("y", lambda: None)))
    assert await reschedule(plan, canary=2) == 1
    said = capsys.readouterr().err
    assert "Change the remaining 3? [y/N] " in said
    assert "Change the remaining 2? [y/N] " in said
    assert clinic.appointment(event_id).title == "By hand"
    assert len(writes(clinic)) == 4


async def test_an_undo_asks_again_too(clinic: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody edits while it asks is theirs."""
    plan, event_id = write_plan(*retitle(clinic, 3)), clinic.appointment_ids[0]
    assert await reschedule(plan, yes=True) == 0
    answer(monkeypatch)
    edit = partial(clinic.edit_appointment, event_id, title="By hand")
    monkeypatch.setattr("sys.stdin", Desk(("y", edit), ("y", lambda: None)))
    assert await undo("day.job") == 1
    assert clinic.appointment(event_id).title == "By hand"
    assert clinic.appointment(clinic.appointment_ids[1]).title != "New title"


async def test_an_interrupt_instead_of_the_second_answer_leaves_the_rest_for_later(
    clinic: Sandbox, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was changed is said, and the job is kept."""

    class Terminal:
        def readline(self) -> str:
            os.kill(os.getpid(), signal.SIGINT)
            return "y"

    plan = write_plan(*retitle(clinic, 3))
    answer(monkeypatch)
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("leadconnector_async.cli.session.ask", ask_only_the_second_time)
    assert await reschedule(plan, canary=1) == 5
    said = capsys.readouterr().out
    assert "Stopped. It was interrupted." in said
    assert "leadconnector resume day.job" in said
    assert len(writes(clinic)) == 1


def ask_only_the_second_time(question: str, *, yes: bool) -> bool:
    return ask(question, yes="remaining" not in question)


async def test_what_nobody_can_tell_ends_with_6(clinic: Sandbox, capsys: Output) -> None:
    """The change was sent, and the event cannot be read; once it can, `resume` looks again."""
    plan = write_plan(*retitle(clinic, 1))
    clinic.faults.plan("update_appointment", ["503-after-apply"])
    clinic.faults.plan("get_appointment", ["ok"] + ["404"] * 2)
    clinic.faults.plan("list_events", ["ok", "404"])
    assert await reschedule(plan, yes=True) == 6
    assert "Check them again with: leadconnector resume day.job" in capsys.readouterr().out
    assert await resume("day.job") == 0
    assert len(writes(clinic)) == 1


async def test_what_was_kept_is_said_to_scripts_too(clinic: Sandbox, capsys: Output) -> None:
    """And a second undo has nothing left to do."""
    plan = write_plan(*retitle(clinic, 3))
    before = picture(clinic)
    assert await reschedule(plan, yes=True) == 0
    clinic.edit_appointment(clinic.appointment_ids[1], title="By hand")
    capsys.readouterr()
    assert await undo("day.job", yes=True, json_output=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["counts"] == {"applied": 2}
    assert [one["event_id"] for one in said["kept"]] == [clinic.appointment_ids[1]]
    assert await undo("day.job", yes=True) == 0
    assert "nothing to undo" in capsys.readouterr().out
    clinic.edit_appointment(clinic.appointment_ids[1], title=before[clinic.appointment_ids[1]].title)
    assert picture(clinic) == before


async def test_a_job_that_broke_says_how_to_go_on(clinic: Sandbox, capsys: Output) -> None:
    """The journal itself is whole, but the folder takes no files any more."""
    plan = write_plan(*retitle(clinic, 2))
    assert await reschedule(plan, yes=True) == 0
    os.unlink("day.job/report.html")
    os.mkdir("day.job/report.html")
    assert await resume("day.job") == 7
    assert "Resume with: leadconnector resume day.job" in capsys.readouterr().err
    os.rmdir("day.job/report.html")
    assert await resume("day.job") == 0
    assert len(writes(clinic)) == 2


async def test_a_plan_that_changes_nothing_asks_nothing(clinic: Sandbox, capsys: Output) -> None:
    """And sends nothing; neither does a retry of what did not fail."""
    event = clinic.appointment(clinic.appointment_ids[0])
    assert await reschedule(write_plan(f"{event.id},{event.title},,")) == 0
    said = capsys.readouterr()
    assert "[y/N]" not in said.err
    assert said.out.split() == ["already", "as", "planned", "1", "Files:", "day.job"]
    assert await retry_failed("day.job") == 0
    assert not writes(clinic)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"canary": 0}, "--canary 0: it must be at least 1"),
        ({"timezone": "New York"}, "--timezone: 'New York' is not an IANA time zone"),
        ({"running": Running(max_errors="many")}, "--max-errors 'many'"),
        ({"running": Running(concurrency=0)}, "concurrency is 0; it must be at least 1"),
        ({"running": Running(rate=-1.0)}, "rate is -1.0; it must be greater than 0"),
    ],
)
async def test_a_flag_that_cannot_be_meant_ends_with_2(
    clinic: Sandbox, capsys: Output, flags: dict[str, object], words: str
) -> None:
    """Before the plan is read, in words that name the flag."""
    assert await reschedule("day.csv", **flags) == 2  # type: ignore[arg-type]
    assert words in capsys.readouterr().err
    assert not clinic.requests


async def test_every_command_that_sends_bulk_calls_takes_a_reserve(
    clinic: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And hands it to its client."""
    plan, seen = write_plan(*retitle(clinic, 2)), list[int | None]()

    def make_client(
        account: Account = ACCOUNT, reserve: int | None = None, *, to_write: str | None = None, place: str = ""
    ) -> LeadConnector:
        seen.append(reserve)
        return LeadConnector(clinic.token, base_url=clinic.url, location_id=clinic.location_id, retry=QUICK)

    monkeypatch.setattr(cli_reschedule, "make_client", make_client)
    monkeypatch.setattr(jobs, "make_client", make_client)
    assert await reschedule(plan, yes=True, reserve=1) == 0
    assert await resume("day.job", reserve=2) == 0
    assert await retry_failed("day.job", reserve=3) == 0
    assert await jobs.verify("day.job", reserve=4) == 0
    assert await undo("day.job", yes=True, reserve=5) == 0
    assert seen == [1, 2, 3, 4, 5]
