"""Names of contacts in a preview, in both journals."""

import csv
import io
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.jobs import BulkJob
from leadconnector_async.sandbox import Sandbox

from ..jobbing import FAST, rows, week_later

pytestmark = pytest.mark.sandbox(limits=FAST)


def find_name(sandbox: Sandbox, contact_id: str) -> str:
    """The full name of a contact."""
    contact = sandbox.contact(contact_id)
    return f"{contact.first_name} {contact.last_name}"


async def test_each_contact_is_read_once(
    sandbox: Sandbox, client: LeadConnector, place: str, tmp_path: Path
) -> None:
    """For a file those of all rows, otherwise those of the rows that are shown."""
    cells = week_later(sandbox, 40)
    contacts = {sandbox.appointment(str(one["event_id"])).contact_id for one in cells}
    async with await BulkJob.create(place, client, rows(*cells)) as job:
        await job.prepare()
        shown = await job.preview(2, names=True)
        assert len(sandbox.requests.of("get_contact")) <= 2
        sandbox.requests.clear()
        await job.preview(2, names=True, file=tmp_path / "day.csv")
        assert len(sandbox.requests.of("get_contact")) == len(contacts)
    table = list(csv.DictReader(io.StringIO((tmp_path / "day.csv").read_text(encoding="utf-8"))))
    assert [row["name"] for row in table] == [find_name(sandbox, row["contact"]) for row in table]
    assert [one.name for one in shown.examples] == [row["name"] for row in table[:2]]


async def test_without_the_scope_few_contacts_are_asked_for(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """The preview is complete, with ids instead of names."""
    async with await BulkJob.create(tmp_path / "job", client, rows(*week_later(sandbox, 40))) as job:
        await job.prepare()
        sandbox.faults.plan("get_contact", ["403"] * 100)
        await job.preview(names=True, file=tmp_path / "day.csv")
        assert len(sandbox.requests.of("get_contact")) == 16
    table = list(csv.DictReader(io.StringIO((tmp_path / "day.csv").read_text(encoding="utf-8"))))
    assert [row["name"] for row in table] == [""] * 40
    assert all(row["contact"] for row in table)
