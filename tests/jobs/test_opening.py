"""Opening a job that nobody waits for any more: its journal is closed, and its folder can be used at once."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from leadconnector_async import AppointmentUpdate, JournalError
from leadconnector_async.integrations import postgres_journal
from leadconnector_async.jobs import BulkJob, opening
from leadconnector_async.jobs.journal import folder
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
    describe, close = opening._describe, opening.close_opened

    def describe_slowly(*job: object) -> opening.OpenedJob:
        begun.set()
        may_end.wait()
        return describe(*job)  # type: ignore[arg-type]

    def close_and_tell(opened: opening.OpenedJob) -> None:
        close(opened)
        closed.set()

    with monkeypatch.context() as patch:
        patch.setattr(opening, "_describe", describe_slowly)
        patch.setattr(opening, "close_opened", close_and_tell)
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


@pytest.mark.parametrize("at_row", [1, 3, 5, "written"])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_job_whose_creation_was_cancelled_leaves_nothing(
    sandbox: Sandbox,
    make_client: MakeClient,
    place: str,
    kind: str,
    at_row: int | str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At whatever row, and also if the database had already written it; the place can be used again at once."""
    client, loop = make_client(), asyncio.get_running_loop()
    rows = [(one, AppointmentUpdate(title="New")) for one in sandbox.appointment_ids[:5]]
    numbered = list(enumerate(rows, start=1))
    creating: asyncio.Task[BulkJob] | None = None
    taken = 0

    def cancel() -> None:
        assert creating is not None
        loop.call_soon_threadsafe(creating.cancel)
        time.sleep(0.05)

    def give() -> Iterator[tuple[str, AppointmentUpdate]]:
        nonlocal taken
        for taken, row in numbered:
            if taken == at_row:
                cancel()
            yield row

    async def give_later() -> AsyncIterator[tuple[str, AppointmentUpdate]]:
        for row in give():
            yield row

    if at_row == "written":
        for module in (folder, postgres_journal):
            monkeypatch.setattr(module, "fill_journal", cancel_after(module.fill_journal, cancel))
        monkeypatch.setattr(opening, "fill_journal", folder.fill_journal)
    creating = asyncio.create_task(BulkJob.create(place, client, give() if kind == "sync" else give_later()))
    with pytest.raises(asyncio.CancelledError):
        await creating
    if kind == "sync" and isinstance(at_row, int):
        assert taken <= at_row + 1
    monkeypatch.undo()
    with pytest.raises(JournalError):
        await BulkJob.open(place, client)
    async with await BulkJob.create(place, client, rows) as job:
        assert (await job.summarize()).total == 5


def cancel_after(fill: Callable[..., object], cancel: Callable[[], None]) -> Callable[..., object]:
    def filled(*arguments: object, **options: object) -> object:
        journal = fill(*arguments, **options)
        cancel()
        return journal

    return filled
