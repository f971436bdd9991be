"""The report: one page that refers to nothing, says no more than it must, and holds for one row and for many."""

import base64
import hashlib
import re
from collections import Counter
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.jobs.report.stats import count_days, count_latencies, count_locations, count_throughput
from leadconnector_async.sandbox import Sandbox

from ..jobbing import rows
from ..shelf import keep, look, retitle, write

ALONE = {"meta", "br"}
REFERRING = {"src", "href", "xlink:href", "srcset", "data", "action", "poster", "background"}
HOSTILE = "<script>alert(1)</script><img src=http://evil.example/x onerror=1>\"'$x^$ --> ]]> \u202e\x1b[31m"


class Page(HTMLParser):
    """What a page is made of; fails where tags do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name == "id":
                self.ids.append(value or "")
            elif name in REFERRING:
                self.references.append(value or "")
        if tag not in ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ALONE:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in ALONE:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


async def make(sandbox: Sandbox, client: LeadConnector, folder: Path, count: int = 40) -> None:
    """A job that moves appointments to the week after."""
    cells = [
        {"event_id": one, "shift": "+7d", "timezone": "America/New_York", "ignore_free_slot_validation": True}
        for one in sandbox.appointment_ids[:count]
    ]
    await keep(folder, client, rows(*cells))


async def test_the_page_refers_to_nothing_outside(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """No font, no picture, no script from elsewhere; what it refers to stands in it, once."""
    sandbox.faults.plan("update_appointment", ["400", "503"])
    await make(sandbox, client, tmp_path / "job")
    text = write(
        tmp_path / "job", "UPDATE rows SET location = 'other', done_at = done_at + number WHERE number > 9"
    )
    page = Page(text)
    assert page.tags["svg"] == 4
    assert not {"link", "img", "iframe", "object", "image", "base"} & set(page.tags)
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'" in text
    assert "://" not in text
    assert "@import" not in text
    inside = [*page.references, *re.findall(r"url\(([^)]*)\)", text)]
    assert {one.removeprefix("#") for one in inside} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert text.count('role="img"') == text.count("aria-label=") == 4


async def test_whatever_comes_from_outside_is_escaped(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Ids of a plan and words of a server are text, in tables and in charts."""
    allowed = HOSTILE.partition("\x1b")[0]  # a plan refuses the rest
    cells = [*retitle(sandbox), {"event_id": allowed, "title": "x"}]
    await keep(tmp_path / "job", client, rows(*cells))
    quoted = HOSTILE.replace("'", "''")
    text = write(
        tmp_path / "job",
        f"UPDATE rows SET location = '{quoted}' WHERE number > 4",  # noqa: S608
        f"UPDATE rows SET state = 'failed', reason = '{quoted}', trace_id = '{quoted}' WHERE number > 9",  # noqa: S608
    )
    page = Page(text)
    assert page.tags["img"] == 0
    assert page.tags["script"] == 1
    assert "<script>alert(1)</script>" in page.text
    assert not {"\u202e", "\x1b"} & set(text)


async def test_a_person_is_known_by_title_and_contact_only(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Addresses, descriptions and the token stay out, also where a reason quotes them."""
    event_id, other = sandbox.appointment_ids[:2]
    sandbox.edit_appointment(event_id, address='Mill "Lane" O\'Hara')
    sandbox.edit_appointment(other, address="Mill Road")
    plan = rows(
        {"event_id": event_id, "address": "High Street", "before_address": "Mill Hill"},
        {"event_id": other, "address": "High Street", "description": "High fever"},
    )
    await keep(tmp_path / "job", client, plan)
    text = write(tmp_path / "job")
    assert "address has changed" in text
    assert "description, address" in text
    assert not any(word in text for word in ("Mill", "Hara", "High", sandbox.token))


async def test_it_opens_with_who_goes_from_when_to_when(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """By each calendar's clock, with weekdays; then what failed, with title, time and reason; figures come last."""
    moved, failed = (sandbox.appointment(one) for one in sandbox.appointment_ids[:2])
    start = datetime(2027, 3, 10, 22, tzinfo=ZoneInfo("America/New_York"))
    for event, title in ((moved, "Ms. Moved"), (failed, "Mr. Failed")):
        sandbox.edit_appointment(event.id, start_time=start, end_time=start + timedelta(minutes=30), title=title)
    sandbox.faults.plan("update_appointment", ["ok", "400"])
    await make(sandbox, client, tmp_path / "job", 2)
    text = (tmp_path / "job/report.html").read_text()
    headings = re.findall("<h2>(.*?)</h2>", text)
    assert headings[:3] == ["Who moves from when to when", "Not changed: 1 row", "Figures"]
    _, moves, rest, _ = re.split("<h2>", text)[:4]
    cells = re.findall("<td[^>]*>(.*?)</td>", moves)
    zones = "Wed 2027-03-10 22:00 (UTC-05:00)", "Wed 2027-03-17 22:00 (UTC-04:00)"
    assert cells == ["Ms. Moved", moved.contact_id, *zones, "", "applied"]
    cells = re.findall("<td[^>]*>(.*?)</td>", rest)
    assert cells[:4] == ["Mr. Failed", "Wed 2027-03-10 19:00 (UTC-08:00)", "failed", "HTTP 400: Bad Request"]
    keys = re.findall('data-key="(.*?)"', moves)
    assert keys == ["2027-03-11T03:00:00+00:00", "2027-03-18T02:00:00+00:00"]


@pytest.mark.parametrize("count", [1, 2])
async def test_a_chart_that_says_nothing_is_left_out(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, count: int
) -> None:
    """One row has no rate, one location nothing to compare it with."""
    await make(sandbox, client, tmp_path / "job", count)
    page = Page((tmp_path / "job/report.html").read_text())
    assert page.tags["svg"] == 1
    assert "before and after" in page.text
    assert ("1 of 1 appointment is" if count == 1 else "2 of 2 appointments are") in page.text


async def test_a_job_that_sent_nothing_has_a_report(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """All rows refused: reasons, and no empty chart."""
    await keep(tmp_path / "job", client, rows({"event_id": "nowhere", "title": "x"}))
    page = Page((tmp_path / "job/report.html").read_text())
    assert "no requests were sent" in page.text
    assert "nowhere" in page.text
    assert page.tags["svg"] == 0


async def test_long_lists_end_with_where_the_rest_is(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """The first rows, and how many more stand in the file; the largest locations, and all others as one."""
    await keep(tmp_path / "job", client, rows(*retitle(sandbox, 1)))
    add = """
        WITH RECURSIVE more(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM more WHERE n < 1300)
        INSERT INTO rows (number, line, location, event_id, wanted, state, reason, done_at)
        SELECT n, n + 1, 'place ' || (n % 250), 'event ' || n, (SELECT wanted FROM rows WHERE number = 1),
            CASE WHEN n <= 1239 THEN 'failed' ELSE 'applied' END, 'no', 1795560000 + n FROM more
    """
    page = Page(write(tmp_path / "job", add))
    assert "Not changed: 1,238 rows" in page.text
    assert "… and 1,038 more, in failed.csv." in page.text
    assert page.text.count("failed") < 210
    assert "The 20 largest of 251; all of them in summary.json." in page.text
    assert "231 others together" in page.text


async def test_time_in_which_nothing_ran_is_left_out(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """A job that went on the next day has two stretches, and its pauses stand where they were."""
    await make(sandbox, client, tmp_path / "job", 40)
    change = "UPDATE rows SET done_at = 1000000 + number + CASE WHEN number > 20 THEN 86400 ELSE 0 END"
    pause = (
        "INSERT INTO moments (at, location, kind, seconds)"
        " VALUES (1086425, 'x', 'paused', 4), (1086426, 'x', 'paused', 3)"
    )
    text = write(tmp_path / "job", change, pause)
    assert "resumed at 1970-01-13 13:47 UTC" in text
    with look(tmp_path / "job") as journal:
        found = count_throughput(journal)
    assert found is not None
    assert sum(found.counts) == 40
    assert found.edges[-1] == pytest.approx(38.0, abs=2.0)
    paused = sum(
        share * (right - left)
        for share, left, right in zip(found.paused, found.edges, found.edges[1:], strict=False)
    )
    assert paused == pytest.approx(4.0, abs=0.1)


async def test_days_are_those_of_the_calendar(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """An evening in New York is no morning of the day after; what failed stands where it was."""
    start = datetime(2027, 3, 10, 22, tzinfo=ZoneInfo("America/New_York"))
    for one in sandbox.appointment_ids[:2]:
        assert sandbox.appointment(one).assigned_user_id is not None
        sandbox.edit_appointment(one, start_time=start, end_time=start + timedelta(minutes=30))
    sandbox.faults.plan("update_appointment", ["400"])
    await make(sandbox, client, tmp_path / "job", 2)
    with look(tmp_path / "job") as journal:
        found = count_days(journal)
    assert found is not None
    assert [(day.day, *counts) for day, *counts in zip(found.begins, found.before, found.after, strict=True)] == [
        (10, 2, 1),
        *((day, 0, 0) for day in range(11, 17)),
        (17, 0, 1),
    ]


async def test_years_are_drawn_as_years(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """However far an appointment moves, a chart has a few dozen bars."""
    await make(sandbox, client, tmp_path / "job", 6)
    for days, step in ((60, "week"), (900, "month"), (9000, "year")):
        text = write(tmp_path / "job", f"UPDATE rows SET start_after = start_before + 86400 * {days}")  # noqa: S608
        assert f"Appointments by {step}, before and after" in text
        with look(tmp_path / "job") as journal:
            found = count_days(journal)
        assert found is not None
        assert len(found.begins) <= 45
        assert (sum(found.before), sum(found.after)) == (6, 6)


async def test_figures_add_up(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """Each row is counted once in each chart, helpers not at all."""
    sandbox.faults.plan("update_appointment", ["400", "422"])
    await make(sandbox, client, tmp_path / "job")
    write(tmp_path / "job", "UPDATE rows SET parks = 1 WHERE number = 40")
    with look(tmp_path / "job") as journal:
        latencies, locations = count_latencies(journal), count_locations(journal)
    assert latencies is not None
    assert sum(latencies.counts) == 39
    assert [seconds for _, seconds in latencies.percentiles] == sorted(
        seconds for _, seconds in latencies.percentiles
    )
    assert [(one.name, dict(one.parts)) for one in locations] == [
        (sandbox.location_id, {"as planned": 37, "not changed": 2, "unknown": 0, "remaining": 0})
    ]
