"""Time that passes while somebody thinks about a write, in virtual time."""

import asyncio
from datetime import timedelta

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    DeadlineExceededError,
    LeadConnector,
    PendingWrite,
    RetryPolicy,
)
from leadconnector_async.sandbox import Limits

from ..simulation.virtual import run
from ..simulation.world import World

UPDATE = AppointmentUpdate(title="Intro call", appointment_status="confirmed")
TEN_MINUTES = 600.0


def make_world(max_requests: int = 100) -> World:
    return World(Limits(max_requests=max_requests, interval=10.0), latency=lambda dice: 0.1)


class Thinker:
    """Approves after some seconds; remembers what it was asked."""

    def __init__(self, seconds: float = TEN_MINUTES) -> None:
        self.seconds = seconds
        self.asked: list[PendingWrite] = []

    async def __call__(self, pending: PendingWrite) -> bool:
        self.asked.append(pending)
        await asyncio.sleep(self.seconds)
        return True


def test_the_deadline_does_not_run_while_somebody_thinks() -> None:
    """It bounds what follows: a call that then takes too long fails."""

    async def play() -> None:
        world, think = make_world(), Thinker()
        event_id = world.sandbox.appointment_ids[0]
        client = world.connect(approve=think, retry=RetryPolicy(deadline=5.0))
        await client.update_appointment(event_id, UPDATE)
        await client.reschedule_appointment(event_id, title="Other")
        assert asyncio.get_running_loop().time() > 2 * TEN_MINUTES
        world.sandbox.faults.plan("update_appointment", ["stall 20"])
        with pytest.raises(DeadlineExceededError):
            await client.update_appointment(event_id, UPDATE)

    run(play())


def test_other_calls_have_every_slot_while_somebody_thinks() -> None:
    """With more questions open than the location has slots."""

    async def play() -> None:
        world, think = make_world(max_requests=3), Thinker()
        client = world.connect(approve=think)
        ids = world.sandbox.appointment_ids[:5]
        waiting = [asyncio.create_task(client.update_appointment(event_id, UPDATE)) for event_id in ids]
        while len(think.asked) < 5:
            await asyncio.sleep(1)
        await asyncio.sleep(60)
        assert (client.quota.in_flight, client.quota.remaining) == (0, 3)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(client.get_appointment(event_id) for event_id in ids[:3]))
        assert asyncio.get_running_loop().time() - began < 1.0
        await asyncio.gather(*waiting)

    run(play())


async def fill(client: LeadConnector, event_id: str, seconds: float) -> None:
    """Use every slot for so long."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        await asyncio.gather(*(client.get_appointment(event_id) for _ in range(10)))


def test_what_was_approved_is_not_asked_about_again_after_a_long_wait_for_a_slot() -> None:
    """The appointment is read again, as it has to be, and is as it was."""

    async def play() -> None:
        world = make_world(max_requests=1)
        event_id = world.sandbox.appointment_ids[0]
        think = Thinker(seconds=1.0)
        client = world.connect(approve=think, priority="bulk")
        task = asyncio.create_task(client.reschedule_appointment(event_id, title="Intro call"))
        while not think.asked:
            await asyncio.sleep(0.1)
        await fill(client.with_options(priority="interactive"), event_id, 100.0)
        world.sandbox.requests.clear()
        await task
        assert [one.method for one in world.sandbox.requests] == ["GET", "PUT"]
        assert len(think.asked) == 1

    run(play())


def test_an_edit_after_a_long_thought_is_found() -> None:
    """The safe change is planned anew and asked about again; the edit stays."""

    async def play() -> None:
        world, think = make_world(), Thinker()
        event_id = world.sandbox.appointment_ids[0]
        client, other = world.connect(approve=think), world.connect()
        start = world.sandbox.appointment(event_id).start_time
        task = asyncio.create_task(client.reschedule_appointment(event_id, start_time=start + timedelta(hours=2)))
        await asyncio.sleep(TEN_MINUTES / 2)
        await other.update_appointment(event_id, AppointmentUpdate(appointment_status="cancelled"))
        await task
        assert [one.before.appointment_status for one in think.asked if one.before is not None][1:] == ["cancelled"]
        assert world.sandbox.appointment(event_id).appointment_status == "cancelled"

    run(play())
