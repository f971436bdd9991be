"""When the next row of a location may start, in virtual time."""

import asyncio
from itertools import pairwise

import pytest

from leadconnector_async.jobs import JobOptions
from leadconnector_async.jobs.run.location import _keep_rate
from leadconnector_async.jobs.run.read_ahead import ReadAhead
from leadconnector_async.jobs.run.schedule import LocationState


def make_state(rate: float | None) -> LocationState:
    ahead = ReadAhead(None, 0.0)  # type: ignore[arg-type] # nothing is read
    return LocationState(location="loc", options=JobOptions(rate=rate), most=1, ahead=ahead)


@pytest.mark.looptime
async def test_a_new_rate_counts_at_once() -> None:
    """A row that waits by the old rate starts by the new one, within a second; evenly from then on."""
    loop = asyncio.get_running_loop()
    state = make_state(rate=1 / 3600)
    await _keep_rate(state)
    begin = loop.time()
    loop.call_later(10, lambda: setattr(state, "options", JobOptions(rate=2)))
    await _keep_rate(state)
    assert 10 <= loop.time() - begin < 11
    starts = []
    for _ in range(20):
        await _keep_rate(state)
        starts.append(loop.time())
    assert [round(later - earlier, 3) for earlier, later in pairwise(starts)] == [0.5] * 19
