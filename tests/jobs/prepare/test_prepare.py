"""How a location is prepared."""

import pytest

from leadconnector_async.jobs import BulkJob
from leadconnector_async.jobs.journal import preparing
from leadconnector_async.jobs.journal.groups import Hold
from leadconnector_async.sandbox import Sandbox

from ...conftest import MakeClient
from ..jobbing import rows, select, week_later


@pytest.mark.parametrize("place", ["folder"], indirect=True)
async def test_a_list_takes_as_many_statements_as_a_row(
    place: str, sandbox: Sandbox, make_client: MakeClient
) -> None:
    """What a list has shown is read and written together: in a database, each statement is a round trip."""
    counts: list[int] = []
    for most in (10, 40):
        statements: list[str] = []
        async with await BulkJob.create(f"{place}{most}", make_client(), rows(*week_later(sandbox, most))) as job:
            job._journal._journal.sqlite.raw.set_trace_callback(statements.append)  # type: ignore[attr-defined]
            await job.prepare()
        counts.append(sum(one.split()[0] == "SELECT" for one in statements))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("place", ["folder"], indirect=True)
async def test_rows_are_marked_to_be_read_again_in_few_statements(
    place: str, sandbox: Sandbox, make_client: MakeClient
) -> None:
    """Those of a location that another worker has prepared; rows that are marked already stay as they are."""
    statements: list[str] = []
    async with await BulkJob.create(place, make_client(), rows(*week_later(sandbox, 40))) as job:
        await job.prepare()
        ((location,),) = await select(job, "SELECT location FROM locations")
        here = job._journal.at(Hold(job._journal.hold.job, str(location)))
        here._journal.sqlite.raw.set_trace_callback(statements.append)  # type: ignore[attr-defined]
        for _ in range(2):
            _, last = await here.run(lambda journal: preparing.forget_next((-2, 0), 40, journal))
        here._journal.sqlite.raw.set_trace_callback(None)  # type: ignore[attr-defined]
        unread = await select(job, "SELECT number FROM rows WHERE read_at IS NULL")
    assert len(statements) < 20
    assert len(unread) == 40
    assert last == 40
