"""The walk of one row of a running job, counted by modules."""

import sys
from collections.abc import Callable, Coroutine, Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType

import pytest

import leadconnector_async
from leadconnector_async import LeadConnector
from leadconnector_async._sharing.exchanger import Exchanger
from leadconnector_async.jobs import BulkJob, JobOptions, control, job
from leadconnector_async.jobs.journal.writer import JournalWriter
from leadconnector_async.jobs.places import is_url
from leadconnector_async.jobs.registration import Registration
from leadconnector_async.jobs.run.execute import Ending, RowExecutor
from leadconnector_async.jobs.run.in_flight import InFlightRow
from leadconnector_async.jobs.run.location import LocationRun
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from .jobbing import FAST, rows, week_later

pytestmark = pytest.mark.sandbox(limits=FAST)

ROOT = f"{Path(leadconnector_async.__file__).parent}/"
BETWEEN = (
    *(LocationRun._start_rows, LocationRun._on_done, JournalWriter._on_end, job._tick, control.follow),
    *(Exchanger._look, Exchanger._run, Exchanger._make, Registration.beat, Registration._send_beat),
)
OF_OTHERS = {one.__qualname__ for one in BETWEEN}
"""What runs between a row's steps: the loop that takes up the next row, the end of a task that has sent rows, the
end of a commit, the progress, exchanges with other processes, heartbeats."""

LEASE = "jobs/run/lease.py"
End = Callable[[InFlightRow, Ending], InFlightRow | None]
Call = tuple[str, str]
"""Module and function; of what lies below the client, `client`: `tests/call/test_walk.py` walks it."""


def list_names(frame: FrameType | None) -> Iterator[str]:
    """The functions of the package on the stack, innermost first, up to the step of a row."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(ROOT):
            yield frame.f_code.co_qualname
            if frame.f_code.co_qualname == "LocationRun._step":
                return
        frame = frame.f_back


async def record(client: LeadConnector, plan: list[dict[str, object]], place: str) -> list[list[Call]]:
    """The calls of each row, from its start until its outcome is on disk; one row at a time."""
    walks: list[list[Call]] = []
    walking = False

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal walking
        file, name = frame.f_code.co_filename, frame.f_code.co_qualname
        if event != "call" or not file.startswith(ROOT) or file.startswith(f"{ROOT}sandbox"):
            return
        if name == "LocationRun._step" and not walking:
            walking = True
            walks.append([])
        elif name == "LocationRun._on_saved":
            walking = False
        if walking and not OF_OTHERS.intersection(list_names(frame)):
            module = file.removeprefix(ROOT)
            walks[-1].append((module if module.startswith("jobs/") else "client", name))

    options = JobOptions(concurrency=1)
    async with await BulkJob.create(place, client, rows(*plan), options=options) as running:
        await running.prepare()
        sys.setprofile(note)
        try:
            summary = await running.run()
        finally:
            sys.setprofile(None)
    assert summary.counts == {"applied": len(plan)}
    return walks


async def test_a_row_changes_module_at_most_twenty_times(
    sandbox: Sandbox, make_client: MakeClient, place: str
) -> None:
    """From its start to the commit of its outcome; the call to the API counts as one. A failure shows the way.

    A row of a database takes the same way, as workers run it; besides, its lease is checked right before the send.
    """
    walks = await record(make_client(), week_later(sandbox, 20), place)
    assert len(walks) == 20
    way = min(walks, key=len)
    leased = [call for call in way if call[0] == LEASE]
    own = [call for call in way if call[0] != LEASE]
    changes = sum(before != after for (before, _), (after, _) in pairwise(own))
    assert 10 < changes <= 20, "\n".join([f"{changes}", *(f"{file:<32} {name}" for file, name in way)])
    assert ("jobs/journal/rows.py", "finish") in way
    assert ("client", "CalendarMethods._update_guarded") in way
    if is_url(place):
        assert 0 < len(leased) <= 6
    else:
        assert not leased
        assert len(way) <= 95, "calls of the package, those of the client included"


async def test_a_task_sends_many_rows(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row takes over the task of the one whose slot it gets: a new task would cost more."""
    begun: list[int] = []
    send_rows = RowExecutor.send_rows

    def count(self: RowExecutor, one: InFlightRow, end: End) -> Coroutine[object, object, None]:
        begun.append(one.row.number)
        return send_rows(self, one, end)

    monkeypatch.setattr(RowExecutor, "send_rows", count)
    sandbox.faults.plan("update_appointment", ["stall 0.05"] * 200)  # so that rows wait for a slot on any machine
    plan = week_later(sandbox, 200)
    options = JobOptions(concurrency=32)
    async with await BulkJob.create(tmp_path / "job", client, rows(*plan), options=options) as running:
        await running.prepare()
        summary = await running.run()
    assert summary.counts == {"applied": 200}
    assert 32 <= len(begun) < 150
