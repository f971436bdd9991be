"""Errors decide the exit code, never a traceback: the edge of the command line, as a user meets it."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from leadconnector_async._system.start import is_command
from leadconnector_async.cli.calls import read_update
from leadconnector_async.cli.errors import describe_error
from leadconnector_async.cli.interrupt import Interrupted
from leadconnector_async.cli.job_report import print_status
from leadconnector_async.exceptions import InvalidRequestError, LeadConnectorError, OutcomeUnknownError
from leadconnector_async.jobs import JobStatus, JobSummary
from leadconnector_async.sandbox import Sandbox

from ..jobs.jobbing import FAST, writes
from .shell import COMMAND, Ended, build_environment, run, start

EMOJI = "Müller 😀 ✂ 診察"


@pytest.fixture
async def clinic() -> AsyncIterator[Sandbox]:
    async with Sandbox(limits=FAST, appointments=12) as sandbox:
        yield sandbox


def write_plan(clinic: Sandbox, folder: Path) -> str:
    rows = "".join(f"{event_id},New title\n" for event_id in clinic.appointment_ids)
    (folder / "day.csv").write_text(f"event_id,title\n{rows}")
    return f"event_id,title\n{rows}"


async def redirect(folder: Path, environment: dict[str, str], arguments: str, where: str) -> Ended:
    """Run a command in a shell, with its streams put elsewhere."""
    command = f"exec '{sys.executable}' -c '{COMMAND[2]}' {arguments} {where}"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_shell(
        command, cwd=folder, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def test_a_plan_on_stdin_needs_yes(clinic: Sandbox, tmp_path: Path) -> None:
    """Nobody can answer there: a usage error that says so; with `--yes` or `--dry-run` it is taken."""
    text = write_plan(clinic, tmp_path)
    environment = build_environment(clinic)
    refused = await run(tmp_path, environment, "reschedule", "-", text=text)
    assert (refused.code, refused.out) == (2, "")
    assert "stdin" in refused.err
    assert "--yes" in refused.err
    assert os.listdir(tmp_path) == ["day.csv"]
    looked = await run(tmp_path, environment, "reschedule", "-", "--dry-run", text=text)
    assert (looked.code, len(writes(clinic))) == (0, 0)
    done = await run(tmp_path, environment, "reschedule", "-", "--yes", text=text)
    assert (done.code, len(writes(clinic))) == (0, 12)


@pytest.mark.parametrize("form", ["lines", "array"])
async def test_json_on_stdin_needs_no_format(clinic: Sandbox, tmp_path: Path, form: str) -> None:
    """Its first character tells."""
    rows = [{"event_id": one, "title": "x"} for one in clinic.appointment_ids]
    text = json.dumps(rows, indent=1) if form == "array" else "\n".join(map(json.dumps, rows))
    done = await run(tmp_path, build_environment(clinic), "reschedule", "-", "--yes", text=text)
    assert (done.code, len(writes(clinic))) == (0, 12)


async def test_a_broken_quotation_mark_in_the_heading_is_a_bad_plan(clinic: Sandbox, tmp_path: Path) -> None:
    """At its line, with exit code 2."""
    (tmp_path / "day.csv").write_text('event_id,"title\na,b\n')
    ended = await run(tmp_path, build_environment(clinic), "reschedule", "day.csv", "--yes")
    assert (ended.code, ended.out) == (2, "")
    assert "line 1" in ended.err
    assert "never closed" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("on_stdin", [False, True])
async def test_flags_say_what_a_plan_of_a_spreadsheet_leaves_open(
    clinic: Sandbox, tmp_path: Path, on_stdin: bool
) -> None:
    """Which number of a date is the day, and the encoding; without them, the row is refused."""
    event_id = next(iter(clinic.appointment_ids))
    content = f"Event ID;Start time;Title\r\n{event_id};3/9/2027 9:00;Zo\xeb\r\n".encode("cp1252")
    (tmp_path / "day.csv").write_bytes(content)
    environment = build_environment(clinic)
    flags = ("reschedule", "-" if on_stdin else "day.csv", "--dry-run", "--timezone", "Europe/London")
    refused = await run(tmp_path, environment, *flags, text=content)
    assert refused.code == 2
    assert "line 2, start_time: '3/9/2027 9:00' is 3 September or 9 March" in refused.err
    more = ("--date-format", "dmy", "--encoding", "cp1252")
    done = await run(tmp_path, environment, *flags, *more, text=content)
    assert (done.code, "1 to change" in done.err) == (0, True), done.err
    assert "2027-09-03" in done.err


@pytest.mark.parametrize("encoding", ["cp1252"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["get", "ID"], 0),
        (["get", "ID", "--json"], 0),
        (["list", "--calendar", "CALENDAR", "--from", "2027-03-01", "--to", "2027-04-30", "--timezone", "UTC"], 0),
        (["update", "ID", "--set", f"title={EMOJI} 2"], 0),
        (["reschedule", "day.csv", "--dry-run"], 0),
        (["--help"], 0),
        (["reschedule", f"{EMOJI}.csv"], 2),
        (["status", f"{EMOJI}.job"], 7),
        ([EMOJI], 2),
    ],
)
async def test_a_terminal_that_knows_no_emoji_breaks_no_command(
    clinic: Sandbox, tmp_path: Path, encoding: str, arguments: list[str], code: int
) -> None:
    """What it cannot show is written as its code."""
    event_id = clinic.appointment_ids[0]
    clinic.edit_appointment(event_id, title=EMOJI)
    calendar = clinic.appointment(event_id).calendar_id
    (tmp_path / "day.csv").write_text(f"event_id,title\n{event_id},{EMOJI} ♥\n", encoding="utf-8")
    named = [one.replace("ID", event_id).replace("CALENDAR", calendar) for one in arguments]
    ended = await run(tmp_path, build_environment(clinic, PYTHONIOENCODING=encoding), *named)
    assert "Traceback" not in ended.err
    assert ended.code == code


FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has it")


@FULL
async def test_a_full_stdout_changes_nothing_of_a_job(clinic: Sandbox, tmp_path: Path) -> None:
    """Every row is applied, the exit code says so, and what could not be shown is said on stderr."""
    write_plan(clinic, tmp_path)
    environment = build_environment(clinic)
    ended = await redirect(tmp_path, environment, "reschedule day.csv --yes", "> /dev/full")
    assert (ended.code, len(writes(clinic))) == (0, 12)
    assert "could not be written to stdout: No space left on device" in ended.err
    assert "Traceback" not in ended.err
    get = f"get {clinic.appointment_ids[0]}"
    for arguments in ("status day.job", "status day.job --json", "verify day.job", get):
        shown = await redirect(tmp_path, environment, arguments, "> /dev/full")
        assert shown.code == 2, arguments
        assert "No space left on device" in shown.err


@FULL
async def test_a_full_stdout_hides_no_failure(clinic: Sandbox, tmp_path: Path) -> None:
    """The job's own exit code wins."""
    clinic.faults.plan("update_appointment", ["400"])
    write_plan(clinic, tmp_path)
    ended = await redirect(tmp_path, build_environment(clinic), "reschedule day.csv --yes --json", "> /dev/full")
    assert (ended.code, len(writes(clinic))) == (1, 11)


@pytest.mark.parametrize("where", [">&-", "<&- >&- 2>&-", pytest.param("> /dev/full 2>&1", marks=FULL)])
async def test_streams_that_are_closed_or_full_change_nothing_of_a_job(
    clinic: Sandbox, tmp_path: Path, where: str
) -> None:
    """Nor does a file of the job get the number of a closed one."""
    write_plan(clinic, tmp_path)
    ended = await redirect(tmp_path, build_environment(clinic), "reschedule day.csv --yes", where)
    assert (ended.code, len(writes(clinic))) == (0, 12)
    assert "Traceback" not in ended.err
    status = await run(tmp_path, build_environment(clinic), "status", "day.job", "--json")
    assert json.loads(status.out)["counts"] == {"applied": 12}


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "kind"),
    [
        (["reschedule", "bad.csv", "--yes"], {}, 2, "PlanError"),
        (["reschedule", "missing.csv"], {}, 2, "FileNotFoundError"),
        (["reschedule", "bytes.csv"], {}, 2, "PlanError"),
        (["reschedule", "-"], {}, 2, "ConfigurationError"),
        (["reschedule", "good.csv"], {}, 2, "NotConfirmed"),
        (["reschedule", "good.csv", "--job", "bad.csv/x"], {}, 7, "JournalError"),
        (["reschedule", "good.csv", "--yes"], {"LEADCONNECTOR_TOKEN": "wrong"}, 4, None),
        (["reschedule", "good.csv", "--canary", "many"], {}, 2, "UsageError"),
        (["status", "missing.job"], {}, 7, "JobNotFoundError"),
        (["resume", "missing.job"], {}, 7, "JobNotFoundError"),
        (["get", "unknown"], {}, 1, "InvalidEventError"),
        (["get", "unknown"], {"LEADCONNECTOR_TOKEN": "wrong"}, 4, None),
        (["get", "unknown"], {"LEADCONNECTOR_BASE_URL": "http://127.0.0.1:9"}, 5, "TransportError"),
        (["delete", "unknown"], {}, 2, "NotConfirmed"),
        (["free-slots", "unknown", "--from", "2027-03-01"], {}, 2, "UsageError"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
async def test_json_is_one_document_in_every_case(
    clinic: Sandbox,
    tmp_path: Path,
    arguments: list[str],
    settings: dict[str, str],
    code: int,
    kind: str | None,
) -> None:
    """With the exit code, the kind of error and its message; people read the same on stderr."""
    (tmp_path / "bad.csv").write_text("event_id,colour\na,red\n")
    (tmp_path / "bytes.csv").write_bytes(b"event_id,title\na,M\xfcller\n")
    (tmp_path / "good.csv").write_text(f"event_id,title\n{clinic.appointment_ids[0]},x\n")
    ended = await run(tmp_path, build_environment(clinic, **settings), *arguments, "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["exit_code"]) == (code, code)
    assert "Traceback" not in ended.err
    assert ended.err
    assert not writes(clinic)
    if kind is not None:
        assert document["error"]["type"] == kind
        assert document["error"]["message"]
    if kind == "PlanError":
        column = {"bad.csv": "colour", "bytes.csv": "title"}[arguments[1]]
        assert [fault["column"] for fault in document["error"]["faults"]] == [column]


def test_interrupts_are_caught_before_anything_heavy_is_imported() -> None:
    """The package's first line sees to it, as its own imports take most of a command's start-up."""
    code = """if True:
        import signal, sys
        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name in ("aiohttp", "msgspec"):
                    print(name, getattr(signal.getsignal(signal.SIGINT), "__module__", None))
        sys.meta_path.insert(0, Finder())
        import leadconnector_async.cli
    """
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout  # noqa: S603
    assert set(printed.splitlines()) == {
        "aiohttp leadconnector_async._system.start",
        "msgspec leadconnector_async._system.start",
    }


@pytest.mark.parametrize("missing", ["rich", "cyclopts"])
def test_without_its_extra_the_command_line_says_how_to_get_it(missing: str) -> None:
    """Exit code 2 and one line, whichever of its packages is missing."""
    code = f"""if True:
        import sys
        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == {missing!r}:
                    raise ModuleNotFoundError(name, name={missing!r})
        sys.meta_path.insert(0, Finder())
        from leadconnector_async.cli import main
        main()
    """
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603
    assert ended.returncode == 2
    assert ended.stderr == "The command line needs the extra cli: pip install 'leadconnector-async[cli]'\n"


async def wait_for_first_line(pid: int) -> None:
    """Until the process catches SIGTERM, which the interpreter itself does not, or has ended."""
    bit = 1 << (signal.SIGTERM - 1)
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = re.search(r"SigCgt:\s*([0-9a-f]+)", status)
        if caught is None or int(caught[1], 16) & bit or re.search(r"State:\s*Z", status):
            return
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_an_interrupt_during_start_up_is_no_traceback(clinic: Sandbox, tmp_path: Path, number: int) -> None:
    """At any moment from the first import on: exit code 5, and one sentence."""
    write_plan(clinic, tmp_path)
    for seconds in (0.0, 0.2, 0.5, 0.9):
        process = await start(tmp_path, build_environment(clinic), "status", "missing.job", "--json")
        await wait_for_first_line(process.pid)
        await asyncio.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        out, err = await process.communicate()
        assert process.returncode in (5, 7)
        assert b"Traceback" not in err
        assert json.loads(out)["exit_code"] == process.returncode


@pytest.mark.parametrize("ignored", [True, False])
async def test_a_hangup_is_an_interrupt_unless_it_is_ignored(
    clinic: Sandbox, tmp_path: Path, ignored: bool
) -> None:
    """A closed terminal ends a job as SIGTERM does; `nohup` keeps it going."""
    write_plan(clinic, tmp_path)
    clinic.faults.plan("update_appointment", ["stall 1"])
    meaning = "SIG_IGN" if ignored else "SIG_DFL"
    code = f"import signal; signal.signal(signal.SIGHUP, signal.{meaning}); {COMMAND[2]}"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", code, "reschedule", "day.csv", "--yes"),
        cwd=tmp_path,
        env=build_environment(clinic),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    while not clinic.requests.of("update_appointment"):
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    _, err = await process.communicate()
    assert b"Traceback" not in err
    assert process.returncode == 0 or not ignored
    assert (b"Stopping" in err) is not ignored


def test_only_the_command_ends_quietly_while_it_starts() -> None:
    """A program that imports the package keeps its own ways."""
    assert is_command(["python", "/usr/bin/leadconnector", "status"])
    assert is_command(["python", "-c", COMMAND[2], "status"])
    assert is_command(["python", "-m", "leadconnector_async.cli"])
    assert not is_command(["python", "-c", "import leadconnector_async"])
    assert not is_command(["python", "program.py", "leadconnector"])
    assert not is_command(["python"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Interrupted(), 5),
        (asyncio.CancelledError(), 5),
        (KeyboardInterrupt(), 130),
        (FileNotFoundError(2, "No such file"), 2),
        (MemoryError(), 1),
        (RecursionError("too deep"), 1),
        (LeadConnectorError("x"), 1),
        (OutcomeUnknownError("x", outcome="unknown"), 6),
        (ExceptionGroup("two", [ValueError("x")]), 1),
    ],
)
def test_every_error_has_a_code_and_a_sentence(error: BaseException, code: int) -> None:
    """Those too that should never come here."""
    report = describe_error(error)
    assert report.code == code
    assert report.lines[0].strip()


def test_an_error_of_a_job_that_was_begun_can_be_resumed() -> None:
    """Whatever it is: the journal knows what was sent."""
    error = RuntimeError("x")
    error.add_note("Resume with: leadconnector resume day.job")
    assert describe_error(error).code == 5
    assert "resume day.job" in describe_error(error).lines[1]


def test_a_status_claims_no_more_than_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that were sent may have been changed."""
    status = JobStatus(summary=JobSummary(counts={"sent": 16, "pending": 4}), by_location={}, last_change=None)
    print_status(Console(highlight=False), "day.job", status, datetime.now(UTC))
    shown = capsys.readouterr().out
    assert "16 rows without a response yet: the change may have been applied." in shown
    assert "Nothing was changed yet" not in shown


@pytest.mark.parametrize("title", ["", " ", "\u200b"])
def test_an_empty_title_is_refused_as_in_a_mapping(title: str) -> None:
    """A shell's variable that is not set must not empty the title of an appointment."""
    with pytest.raises(InvalidRequestError, match="title is empty; omit it to keep it"):
        read_update("event", {"title": title}, None)
