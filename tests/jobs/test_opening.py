"""Opening a job that nobody waits for any more: its journal is closed, and its folder can be used at once."""

import asyncio
import threading

import pytest

from leadconnector_async import AppointmentUpdate
from leadconnector_async.jobs import BulkJob, opening
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient


async def test_a_job_whose_opening_was_cancelled_is_let_go(
    sandbox: Sandbox, make_client: MakeClient, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it only opens afterwards, because its database was slow."""
    client = make_client()
    rows = [(sandbox.appointment_ids[0], AppointmentUpdate(title="New"))]
    async with await BulkJob.create(place, client, rows):
        pass
    begun, may_end, closed = threading.Event(), threading.Event(), threading.Event()
    describe, close = opening._describe, opening._close

    def describe_slowly(*job: object) -> opening.OpenedJob:
        begun.set()
        may_end.wait()
        return describe(*job)  # type: ignore[arg-type]

    def close_and_tell(opened: opening.OpenedJob) -> None:
        close(opened)
        closed.set()

    with monkeypatch.context() as patch:
        patch.setattr(opening, "_describe", describe_slowly)
        patch.setattr(opening, "_close", close_and_tell)
        task = asyncio.create_task(BulkJob.open(place, client))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_end.set()
        await asyncio.to_thread(closed.wait)
    async with await BulkJob.open(place, client) as job:
        await job.prepare()
        await job.run()
    found = await client.get_appointment(sandbox.appointment_ids[0])
    assert found.title == "New"
