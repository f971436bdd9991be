"""How a location is prepared."""

import pytest

from leadconnector_async.jobs import BulkJob
from leadconnector_async.sandbox import Sandbox

from ...conftest import MakeClient
from ..jobbing import rows, week_later


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
