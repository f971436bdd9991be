"""`--on-end`: who is told that a job has ended, what with, and that a failure of it changes nothing else."""

import json
import shlex
import sys
from pathlib import Path
from unittest import mock

import pytest

from leadconnector_async import ConfigurationError, LeadConnector
from leadconnector_async._secret import Secret
from leadconnector_async.cli import notice
from leadconnector_async.cli.jobs import resume, retry_failed, undo
from leadconnector_async.cli.notice import parse_target
from leadconnector_async.cli.reschedule import Running, reschedule
from leadconnector_async.jobs import BulkJob
from leadconnector_async.jobs.journal.folder import is_in_use
from leadconnector_async.sandbox import Sandbox

from ..jobs.jobbing import writes
from ..raw_server import answer, raw_server
from .test_job_sessions import answer as answer_question

Output = pytest.CaptureFixture[str]
pytestmark = pytest.mark.sandbox(appointments=4)
NOTE = """
import json, sys
with open("told.jsonl", "a") as file:
    print(json.dumps([sys.argv[1:], json.load(sys.stdin)]), file=file)
print("said on stdout")
sys.exit(int(sys.argv[1]) if sys.argv[1:] else 0)
"""
KEY = "zzzz-s3cret-zzzz"


@pytest.fixture
def plan(plan: str) -> str:
    """With a program that notes what it is told."""
    Path("note.py").write_text(NOTE)
    return plan


def call(*arguments: str) -> str:
    """A command line that runs the program."""
    return shlex.join([sys.executable, "note.py", *arguments])


def list_told() -> list[tuple[list[str], dict[str, object]]]:
    path = Path("told.jsonl")
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


async def test_a_command_is_told_once_that_a_job_is_done(plan: str, capsys: Output) -> None:
    """It gets the summary on stdin; what it prints is not in our document, and nothing of it is stored."""
    assert await reschedule(plan, yes=True, json_output=True, on_end=call("0", KEY)) == 0
    said = capsys.readouterr()
    [(arguments, document)] = list_told()
    assert arguments == ["0", KEY]
    assert document == {"phase": "done", **json.loads(said.out)}
    assert document["counts"] == {"applied": 4}
    assert KEY not in said.err + said.out
    for path in Path("day.job").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


async def test_no_shell_reads_the_command(plan: str) -> None:
    """What a shell would run or expand arrives as it is."""
    odd = ["0", "; touch pwned", "$(touch pwned)", "`touch pwned`", "| touch pwned", "*", "~", "a b"]
    assert await reschedule(plan, yes=True, on_end=call(*odd)) == 0
    [(arguments, _)] = list_told()
    assert arguments == odd
    assert not Path("pwned").exists()


async def test_a_job_that_stops_or_is_refused_is_an_end_as_well(account: Sandbox, plan: str) -> None:
    """With its exit code, and for a plan with the error."""
    account.faults.plan("update_appointment", ["400"] * 9)
    stopping = Running(max_errors="1", concurrency=1)
    assert await reschedule(plan, job="first.job", yes=True, running=stopping, on_end=call()) == 3
    [(_, stopped)] = list_told()
    assert (stopped["phase"], stopped["exit_code"], stopped["job"]) == ("stopped", 3, "first.job")
    Path("bad.csv").write_text("event_id,start_time\nabcdefghij0123456789,tomorrow\n")
    assert await reschedule("bad.csv", yes=True, on_end=call()) == 2
    refused = list_told()[1][1]
    assert (refused["phase"], refused["exit_code"], refused["job"]) == ("refused", 2, "bad.job")
    assert refused["error"] == {"type": "PlanError", "message": mock.ANY}
    assert "line 2, start_time: 'tomorrow': it is not a time in ISO 8601" in str(refused["error"]["message"])  # type: ignore[index]


async def test_whoever_runs_the_job_again_can_be_told_again(account: Sandbox, plan: str) -> None:
    """Resumed, retried and undone; a job that had ended before is no news."""
    account.faults.plan("update_appointment", ["400"])
    assert await reschedule(plan, yes=True) == 1
    assert await resume("day.job", on_end=call()) == 1
    assert not list_told()
    assert await retry_failed("day.job", on_end=call()) == 0
    assert await undo("day.job", yes=True, on_end=call()) == 0
    told = [document for _, document in list_told()]
    assert [(one["phase"], one["total"]) for one in told] == [("done", 4), ("done", 4)]


async def test_what_is_not_begun_has_no_end(plan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run, and a question that was answered with no."""
    answer_question(monkeypatch, "n")
    assert await reschedule(plan, dry_run=True, on_end=call()) == 0
    assert await reschedule(plan, on_end=call()) == 2
    assert not list_told()


async def test_a_notice_that_fails_is_a_warning(plan: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of the job; the warning has no argument."""
    assert await reschedule(plan, yes=True, on_end=call("7", KEY)) == 0
    said = capfd.readouterr()
    assert f"Warning: {Path(sys.executable).name} was not told that the job has ended: exit code 7." in said.err
    assert "said on stdout" in said.err
    assert "said on stdout" not in said.out
    assert KEY not in said.err + said.out


async def test_a_command_that_hangs_is_killed(
    plan: str, capsys: Output, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It gets half a minute; here less."""
    monkeypatch.setattr(notice, "SECONDS", 0.1)
    Path("hang.py").write_text("import time\ntime.sleep(600)\n")
    assert await reschedule(plan, yes=True, on_end=shlex.join([sys.executable, "hang.py"])) == 0
    assert "was not told that the job has ended: it did not finish within 0.1 s." in capsys.readouterr().err


async def test_a_url_gets_the_summary_once(plan: str, capsys: Output) -> None:
    """As JSON, whose address is in no message, also if the server answers with an error or a redirect."""
    async with raw_server(answer(204, b""), answer(302, b"", "location: /elsewhere"), answer(500, b"no")) as server:
        for name in ("one.job", "two.job", "three.job"):
            assert await reschedule(plan, job=name, yes=True, on_end=f"{server.url}/hook/{KEY}?key={KEY}") == 0
    assert len(server.requests) == 3
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(f"POST /hook/{KEY}?key={KEY} HTTP/1.1".encode())
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body)["counts"] == {"applied": 4}
    said = capsys.readouterr()
    assert said.err.count("Warning: http://127.0.0.1 was not told") == 2
    assert "status code 302." in said.err
    assert "status code 500." in said.err
    assert await reschedule(plan, job="four.job", yes=True, on_end=f"{server.url}/{KEY}") == 0
    gone = capsys.readouterr()
    assert "it could not be reached (ClientConnectorError)" in gone.err
    assert KEY not in said.err + said.out + gone.err + gone.out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("http://hooks.example.com/zzzz-s3cret-zzzz", "http:// to hooks.example.com; use https://"),
        ("https://u:zzzz-s3cret-zzzz@hooks.example.com/", "must not hold a user name or a password"),
        ("https:///zzzz-s3cret-zzzz", "not a valid URL"),
        ("ftp://hooks.example.com/zzzz-s3cret-zzzz", "not a valid URL"),
        ("https://hooks..example.com/zzzz-s3cret-zzzz", "not a valid URL"),
        ("https://hooks.example.com:port/zzzz-s3cret-zzzz", "not a valid URL"),
        ("no-such-program zzzz-s3cret-zzzz", "the program no-such-program was not found"),
        ("'unclosed zzzz-s3cret-zzzz", "not a valid command: No closing quotation"),
        ("", "is empty"),
        ("a\nzzzz-s3cret-zzzz", "not a line of text"),
    ],
)
async def test_a_notice_that_cannot_be_sent_is_refused_first(
    account: Sandbox, plan: str, capsys: Output, given: str, words: str
) -> None:
    """Before anything is read or sent, and without what is secret in it."""
    assert await reschedule(plan, yes=True, on_end=given) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert KEY not in said.err
    assert not account.requests
    assert not Path("day.job").exists()


async def test_the_variable_holds_what_other_users_must_not_see(
    plan: str, bare: pytest.MonkeyPatch, capsys: Output
) -> None:
    """It is used without a flag; where the command does not see the end, only the flag is refused."""
    bare.setenv("LEADCONNECTOR_ON_END", call("0", KEY))
    assert await reschedule(plan, yes=True) == 0
    assert len(list_told()) == 1
    url = "postgresql://127.0.0.1/none#day"
    assert await reschedule(plan, job=url, yes=True, detach=True, on_end=call()) == 2
    assert "--on-end needs a command that waits for the end of the job" in capsys.readouterr().err


async def test_a_job_that_another_process_runs_ends_there(
    account: Sandbox, client: LeadConnector, plan: str, capsys: Output
) -> None:
    """So the flag is refused by a command that only continues it."""
    assert await reschedule(plan, yes=True) == 0
    async with await BulkJob.open("day.job", client):
        assert is_in_use("day.job")
        assert await resume("day.job", on_end=call()) == 2
    assert "--on-end needs a command that waits" in capsys.readouterr().err
    assert len(writes(account)) == 4
    assert not list_told()


def test_an_address_is_shown_in_no_frame() -> None:
    """Neither by a target nor by an error."""
    assert KEY not in repr(vars(parse_target("--on-end", Secret(f"https://hooks.example.com/{KEY}"))))
    with pytest.raises(ConfigurationError) as caught:
        parse_target("--on-end", Secret(f"'{KEY}"))
    assert caught.value.__context__ is None
