"""Cancelled in any turn of its way, a call leaves nothing behind."""

import asyncio

import pytest

from leadconnector_async import AppointmentUpdate, LeadConnectorError, RetryPolicy
from leadconnector_async.sandbox import Limits

from ..lanes import budget_of
from .virtual import VirtualLoop
from .world import World

FAULTS = {"update_appointment": ["429 retry-after=1", "503", "lose-response"], "get_appointment": ["503", "reset"]}


class Play:
    """One update behind two reads on a narrow limit, with trouble on its way, cancelled in one turn of the loop."""

    def __init__(self, cancel_at: int | None, deadline: float | None) -> None:
        self.cancel_at = cancel_at
        self.policy = RetryPolicy(deadline=deadline)
        self.turns = 0
        self.call: asyncio.Task[object] | None = None

    def count(self) -> bool:
        if self.call is None or self.call.done():
            return False
        self.turns += 1
        return self.turns == self.cancel_at and self.call.cancel()

    async def play(self) -> None:
        world = World(Limits(max_requests=2, interval=10.0))
        for operation, faults in FAULTS.items():
            world.sandbox.faults.plan(operation, faults)
        client = world.connect(retry=self.policy)
        ids = world.sandbox.appointment_ids
        others = [asyncio.create_task(client.get_appointment(ids[number])) for number in (1, 2)]
        update = AppointmentUpdate(title="x")
        self.call = asyncio.create_task(client.update_appointment(ids[0], update))
        ends = await asyncio.gather(self.call, *others, return_exceptions=True)
        assert all(not isinstance(end, BaseException) or isinstance(end, EXPECTED) for end in ends)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        lane = client._shared.limiter.lanes.get(client._location_id)
        assert lane is not None
        assert (budget_of(lane).slots.in_flight, lane.waiting) == (0, 0)
        async with asyncio.timeout(120):
            await client.with_options(retry=RetryPolicy()).get_appointment(ids[3])


EXPECTED = (asyncio.CancelledError, LeadConnectorError)


def run(play: Play) -> Play:
    loop = VirtualLoop()
    loop.watch(play.count)
    try:
        loop.run_until_complete(play.play())
    finally:
        loop.close()
    return play


@pytest.mark.parametrize("deadline", [None, 25.0])
def test_cancelled_in_any_turn_a_call_leaves_nothing_behind(deadline: float | None) -> None:
    """No slot, no waiter, no task; it ends at once, and the next call is served."""
    turns = run(Play(None, deadline)).turns
    assert turns > 20
    for cancel_at in range(1, turns + 1):
        cancelled = run(Play(cancel_at, deadline))
        assert cancelled.call is not None
        assert cancelled.call.cancelled(), cancel_at
        assert cancelled.turns <= cancel_at + 2
