"""The preview of an undo and of a retry: the same flags, the same file, before anything is sent."""

import csv
import json
from pathlib import Path

import pytest

from leadconnector_async.cli.arguments import Shown
from leadconnector_async.cli.jobs import retry_failed, undo
from leadconnector_async.cli.reschedule import reschedule
from leadconnector_async.sandbox import Sandbox

from ..jobs.jobbing import picture, writes

Output = pytest.CaptureFixture[str]
pytestmark = pytest.mark.sandbox(appointments=4)
FILE = Shown(preview="back.csv", names=True, check_slots=True)


@pytest.fixture
async def moved(account: Sandbox, plan: str) -> Sandbox:
    """A job of which one row has failed."""
    account.faults.plan("update_appointment", ["400"])
    assert await reschedule(plan, yes=True) == 1
    account.requests.clear()
    return account


def read_file() -> list[dict[str, str]]:
    return list(csv.DictReader(Path("back.csv").read_text("utf-8-sig").splitlines()))


async def test_an_undo_can_be_signed_off(moved: Sandbox, capsys: Output) -> None:
    """A dry run writes every way back, with names; then it is done as the file says."""
    before = picture(moved)
    assert await undo("day.job", dry_run=True, shown=FILE) == 0
    rows = read_file()
    assert len(rows) == 3
    assert {row["event"] for row in rows} <= set(moved.appointment_ids)
    assert all(row["name"] for row in rows)
    assert "All changes, to be signed off: back.csv" in capsys.readouterr().err
    assert picture(moved) == before
    assert await undo("day.job", yes=True, shown=FILE) == 2
    assert "back.csv already exists" in capsys.readouterr().err
    assert picture(moved) == before
    assert await undo("day.job", yes=True) == 0


async def test_a_retry_writes_what_it_sends(moved: Sandbox, capsys: Output) -> None:
    """Only the rows that it tries again, and the file is there before anything is sent."""
    assert await retry_failed("day.job", shown=Shown(preview="no/such/folder.csv")) == 2
    assert not moved.requests
    capsys.readouterr()
    assert await retry_failed("day.job", shown=FILE, json_output=True) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["counts"] == {"applied": 4}
    assert "All changes, to be signed off: back.csv" in said.err
    assert [row["event"] for row in read_file()] == writes(moved)
