"""Run on a copy of the package whose update has one more text, `parking_hint`: everything handles it."""

import asyncio
import sys
from pathlib import Path

import pytest

from leadconnector_async import Appointment, AppointmentUpdate, LeadConnector, PlanError
from leadconnector_async._api.readback import compare_update
from leadconnector_async._api.request import encode
from leadconnector_async._api.validate import check_update
from leadconnector_async.jobs import BulkJob, PlanRow
from leadconnector_async.jobs.plan.render import COLUMNS
from leadconnector_async.reschedule.plan import plan_change
from leadconnector_async.sandbox import Sandbox
from tests.jobs.jobbing import rows, run
from tests.jobs.shelf import keep, write

SECRET = "behind the blue gate"


def set_hint(text: str) -> AppointmentUpdate:
    return AppointmentUpdate(parking_hint=text)  # type: ignore[call-arg] # on the copy


def check_payload() -> None:
    assert encode(check_update(set_hint(SECRET))) == b'{"parkingHint":"behind the blue gate"}'


def check_comparison() -> None:
    sent = check_update(set_hint(SECRET))
    shown = {text: Appointment(title="Intro", parking_hint=text) for text in (SECRET, "", "x")}  # type: ignore[call-arg]
    verdicts = {text: compare_update(sent, one) for text, one in shown.items()}
    assert verdicts == {SECRET: True, "": False, "x": False}


async def check_reschedule(client: LeadConnector, sandbox: Sandbox) -> None:
    event_id = sandbox.appointment_ids[0]
    before = await client.get_appointment(event_id)
    change = plan_change(before, event_id=event_id, changes={"parking_hint": SECRET})  # type: ignore[typeddict-unknown-key]
    assert [one.field for one in change.differences] == ["parking_hint"]
    await client.reschedule_appointment(event_id, parking_hint=SECRET, verify=True)  # type: ignore[call-arg]
    assert (await client.get_appointment(event_id)).parking_hint == SECRET  # type: ignore[attr-defined]


async def check_job(client: LeadConnector, sandbox: Sandbox, folder: Path) -> None:
    """Column, precondition, verification and undo."""
    assert {"parking_hint", "before_parking_hint"} < set(COLUMNS)
    first, second, *_ = sandbox.appointment_ids[1:]
    good = {"event_id": first, "parking_hint": SECRET, "before_title": sandbox.appointment(first).title}
    stale = {"event_id": second, "title": "Moved", "before_parking_hint": "elsewhere"}
    async with await BulkJob.create(folder / "one", client, rows(good)) as job:
        assert (await job.run()).counts == {"applied": 1}
        assert not (await job.verify()).differing
        undo = await job.plan_undo()
        (back,) = undo.rows
        assert isinstance(back, PlanRow)
        assert (back.update, back.before.parking_hint) == (set_hint(""), SECRET)  # type: ignore[union-attr]
        assert (await run(folder / "undo", client, [back])).counts == {"applied": 1}
    assert sandbox.appointment(first).parking_hint == ""  # type: ignore[attr-defined]
    async with await BulkJob.create(folder / "stale", client, rows(stale)) as job:
        with pytest.raises(PlanError) as caught:
            await job.prepare()
        assert [fault.column for fault in caught.value.faults] == ["before_parking_hint"]


async def check_report(client: LeadConnector, sandbox: Sandbox, folder: Path) -> None:
    """Its value is personal, so the report leaves it out."""
    event_id = sandbox.appointment_ids[4]
    sandbox.edit_appointment(event_id, parking_hint=SECRET)
    cells = {"event_id": event_id, "parking_hint": "no", "before_parking_hint": "another"}
    await keep(folder / "report", client, rows(cells))
    text = write(folder / "report")
    assert "parking_hint has changed" in text
    assert SECRET not in text


async def main(folder: Path) -> None:
    check_payload()
    check_comparison()
    async with Sandbox(appointments=10) as sandbox:
        async with LeadConnector(sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id) as client:
            await check_reschedule(client, sandbox)
            await check_job(client, sandbox, folder)
            await check_report(client, sandbox, folder)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
