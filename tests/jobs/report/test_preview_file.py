"""The file of a preview, in both journals."""

import base64
import csv
import hashlib
import io
import os
import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, JournalError, LeadConnector
from leadconnector_async.jobs import BulkJob, RowFault, iterate_plan
from leadconnector_async.sandbox import Sandbox

from ..jobbing import FAST, WEEK, at, rows, week_later

pytestmark = pytest.mark.sandbox(limits=FAST)
FORMULA = '=HYPERLINK("http://example.com/","Visit")'
MARKUP = "<script>alert(1)</script>"


async def write(place: str, client: LeadConnector, plan: list[dict[str, object]], file: Path) -> str:
    """The file of the preview of a plan."""
    async with await BulkJob.create(place, client, rows(*plan)) as job:
        await job.prepare()
        await job.preview(0, file=file)
    return file.read_text(encoding="utf-8")


def odd(sandbox: Sandbox) -> list[dict[str, object]]:
    """A move into the night with hostile titles, and another title."""
    first, second = (sandbox.appointment(one) for one in sandbox.appointment_ids[:2])
    sandbox.edit_appointment(first.id, title=FORMULA)
    sandbox.edit_appointment(second.id, title=MARKUP)
    start = (first.start_time + WEEK).replace(hour=3)
    return [at(first, start=start.isoformat()), at(second, title="Check-up")]


async def test_every_change_is_in_the_table(
    sandbox: Sandbox, client: LeadConnector, place: str, tmp_path: Path
) -> None:
    """Not only the first ten: weekday, old and new time by the calendar's clock, title, what else, warnings."""
    text = await write(place, client, [*odd(sandbox), *week_later(sandbox, 40)[2:]], tmp_path / "day.csv")
    table = list(csv.DictReader(io.StringIO(text)))
    assert [row["line"] for row in table] == [str(line) for line in range(1, 41)]
    first, second, *_ = table
    assert (first["from_day"], first["to_day"], first["minutes"]) == ("Wed", "Tue", "15")
    assert (first["to"], first["zone"]) == ("2027-03-16 23:00", "UTC-05:00 -> UTC-04:00")
    assert first["warnings"].startswith("at night: Wed 2027-03-10 ")
    assert second["changes"] == f"title: '{MARKUP}' -> 'Check-up'"
    assert second["contact"] == sandbox.appointment(sandbox.appointment_ids[1]).contact_id
    assert second["warnings"] == ""


async def test_no_cell_runs_as_a_formula(
    sandbox: Sandbox, client: LeadConnector, place: str, tmp_path: Path
) -> None:
    """A title is somebody else's text, and a spreadsheet would run it."""
    text = await write(place, client, odd(sandbox), tmp_path / "day.csv")
    first, _ = csv.DictReader(io.StringIO(text))
    assert first["title"] == f"'{FORMULA}"
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]


async def test_the_page_opens_with_the_warnings_and_ends_with_the_approval(
    sandbox: Sandbox, client: LeadConnector, place: str, tmp_path: Path
) -> None:
    """Whatever comes from the calendar is text, not markup."""
    page = await write(place, client, odd(sandbox), tmp_path / "day.HTML")
    parts = ["2 to change", "1 row moves an appointment to the night", "<h2>Changes</h2>", "Approved by: ___"]
    assert sorted(parts, key=page.index) == parts
    assert '"from" data-key="2027-03-10T13:00:00+00:00">Wed 2027-03-10 08:00</td>' in page
    assert '"to" data-key="2027-03-17T03:00:00+00:00">Tue 2027-03-16 23:00</td>' in page
    assert "&lt;script&gt;" in page
    assert MARKUP not in page


async def test_the_page_can_be_searched_and_sorted_and_loads_nothing(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """One script, which its policy names by hash and which writes text, not markup; no address of anybody."""
    page = await write(str(tmp_path / "job"), client, odd(sandbox)[1:], tmp_path / "day.html")
    assert page.count('<table class="wide" id="moves">') == 1
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page
    assert 'getElementById("moves")' in script
    assert not re.findall(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|fetch|import\b", script)
    assert not re.findall(r"https?:|src=|href=|url\(|@import", page)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
async def test_only_its_owner_can_read_it(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """Titles are personal data."""
    file = tmp_path / "day.csv"
    await write(str(tmp_path / "job"), client, odd(sandbox), file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_preview_is_not_taken_for_a_plan(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """Its times are old and new ones, without an offset: every row is refused."""
    text = await write(str(tmp_path / "job"), client, odd(sandbox), tmp_path / "day.csv")
    assert all(isinstance(row, RowFault) for row in iterate_plan(text))


async def test_a_file_that_cannot_be_written_is_named(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Another ending is refused before anything is read; a folder that does not exist, when it is written."""
    async with await BulkJob.create(tmp_path / "job", client, rows(*odd(sandbox))) as job:
        await job.prepare()
        sent = len(sandbox.requests)
        with pytest.raises(ConfigurationError, match=r"day\.xlsx: a preview is a file that ends in \.csv"):
            await job.preview(file=tmp_path / "day.xlsx")
        assert len(sandbox.requests) == sent
        with pytest.raises(JournalError, match=r"nowhere/day\.csv could not be written \(No such file"):
            await job.preview(file=tmp_path / "nowhere" / "day.csv")
        assert (await job.preview()).counts == {"pending": 2}


async def test_rows_that_are_left_out_are_on_the_page(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """With the reason: whoever signs sees what does not happen."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    later = (event.start_time + timedelta(days=1)).isoformat()
    plan = rows(at(event, start=later), {"event_id": "unknown", "title": "x"})
    async with await BulkJob.create(tmp_path / "job", client, plan) as job:
        with pytest.raises(Exception, match="deleted or unknown"):
            await job.prepare()
        await job.preview(file=tmp_path / "day.html")
    page = (tmp_path / "day.html").read_text(encoding="utf-8")
    assert page.index("<h2>Left out</h2>") < page.index("the event is deleted or unknown")
