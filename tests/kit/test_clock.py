"""The clock: waits of the client, of the sandbox and of the test pass at once, and in order."""

import asyncio
import gc
import threading
import time
import weakref
from datetime import timedelta
from itertools import pairwise

import pytest

from leadconnector_async import AppointmentUpdate, InvalidRequestError, LeadConnector
from leadconnector_async.sandbox import Limits, Sandbox, WebhookRules
from leadconnector_async.testing import Clock
from leadconnector_async.webhooks import WebhookVerifier

from ..sandbox.receiver import serve_receiver

LONG = 7200.0
"""Longer than any test may take: were it really waited for, the test would end by its timeout."""


@pytest.mark.leadconnector(faults={"update_appointment": [f"503 retry-after={LONG:.0f}"]})
async def test_a_pause_of_the_client_takes_no_time(
    leadconnector_sandbox: Sandbox, leadconnector_client: LeadConnector, leadconnector_clock: Clock
) -> None:
    """It is kept all the same: by both clocks the second attempt comes that much later."""
    event_id = leadconnector_sandbox.appointment_ids[0]
    update = AppointmentUpdate(title="x")
    updated = await leadconnector_clock.run(leadconnector_client.update_appointment(event_id, update))
    assert updated.title == "x"
    first, second = leadconnector_sandbox.requests.of("update_appointment")
    assert second.at - first.at >= LONG
    assert leadconnector_clock.elapsed >= LONG
    assert leadconnector_clock.skipped > LONG / 2


@pytest.mark.leadconnector(limits=Limits(max_requests=5, interval=600))
async def test_the_limit_of_a_location_is_kept(
    leadconnector_sandbox: Sandbox, leadconnector_client: LeadConnector, leadconnector_clock: Clock
) -> None:
    """Twelve calls need three windows, none of which takes more than five: the sandbox refuses few or none."""
    events = leadconnector_sandbox.appointment_ids[:12]
    await leadconnector_clock.run(asyncio.gather(*map(leadconnector_client.get_appointment, events)))
    assert leadconnector_sandbox.requests.count_most_in(599) <= 5
    assert leadconnector_clock.elapsed >= 1200


async def test_time_moves_on_for_everything_in_the_loop(
    leadconnector_sandbox: Sandbox, leadconnector_clock: Clock
) -> None:
    """Timers fire in order, each at its time, and one that is due later does not fire; dates move as well."""
    fired: list[tuple[int, float]] = []
    loop, began = asyncio.get_running_loop(), leadconnector_clock.elapsed

    async def wait(seconds: int) -> None:
        await asyncio.sleep(seconds)
        fired.append((seconds, leadconnector_clock.elapsed - began))
        if seconds == 300:
            loop.call_later(100, lambda: fired.append((400, leadconnector_clock.elapsed - began)))

    tasks = [asyncio.create_task(wait(seconds)) for seconds in (3000, 900, 300)]
    leadconnector_sandbox.edit_appointment(leadconnector_sandbox.appointment_ids[0], title="x")
    await leadconnector_clock.advance(1000)
    assert [seconds for seconds, _ in fired] == [300, 400, 900]
    assert all(seconds <= at for seconds, at in fired)
    leadconnector_sandbox.edit_appointment(leadconnector_sandbox.appointment_ids[1], title="x")
    first, second = (
        leadconnector_sandbox.store.find_stamps(leadconnector_sandbox.appointment(one)).updated
        for one in leadconnector_sandbox.appointment_ids[:2]
    )
    assert second - first >= timedelta(seconds=1000)
    tasks[0].cancel()


async def test_outside_of_run_time_is_real(leadconnector_clock: Clock) -> None:
    """Nothing is skipped where the test did not ask for it."""
    await asyncio.sleep(0.05)
    assert leadconnector_clock.skipped == 0.0
    assert leadconnector_clock.elapsed >= 0.05


async def test_a_thread_is_waited_for(leadconnector_clock: Clock) -> None:
    """A timeout that is longer than its work does not end it, though nothing happens in the loop meanwhile."""
    working = threading.Event()

    def work() -> str:
        working.wait(0.2)
        return "done"

    async with asyncio.timeout(100):
        assert await leadconnector_clock.run(asyncio.to_thread(work)) == "done"
    assert leadconnector_clock.skipped == 0.0


@pytest.mark.leadconnector(faults={"get_appointment": ["stall 60"]})
async def test_a_response_that_is_late_passes_too(
    leadconnector_sandbox: Sandbox, leadconnector_client: LeadConnector, leadconnector_clock: Clock
) -> None:
    """The sandbox stalls for a minute: the client's timeout comes first, and the repetition succeeds."""
    event_id = leadconnector_sandbox.appointment_ids[0]
    assert (await leadconnector_clock.run(leadconnector_client.get_appointment(event_id))).id == event_id
    assert len(leadconnector_sandbox.requests) == 2


async def test_redeliveries_of_webhooks_take_no_time(
    leadconnector_sandbox: Sandbox, leadconnector_clock: Clock
) -> None:
    """Twelve attempts with growing intervals; a verifier with the sandbox's time sees them grow old."""
    async with serve_receiver([500] * 12) as receiver:
        leadconnector_sandbox.webhooks.subscribe(receiver.url)
        leadconnector_sandbox.edit_appointment(leadconnector_sandbox.appointment_ids[0], title="x")
        await leadconnector_clock.run(leadconnector_sandbox.webhooks.wait_delivered())
        assert len(receiver.got) == 13
    attempts = leadconnector_sandbox.webhooks.deliveries
    gaps = [later.at - earlier.at for earlier, later in pairwise(attempts)]
    expected = [min(2**number, 600) for number in range(12)]
    assert all(wanted <= gap for gap, wanted in zip(gaps, expected, strict=True))
    assert sum(gaps) < 2 * sum(expected)
    old = WebhookVerifier(leadconnector_sandbox.webhook_key, clock=leadconnector_sandbox.time, max_age_seconds=9000)
    assert old.verify(*receiver.got[-1])
    assert leadconnector_sandbox.time() - time.time() > sum(expected) - 30


async def test_an_order_can_be_made_worse(leadconnector_sandbox: Sandbox, leadconnector_clock: Clock) -> None:
    """Delays of hours pass at once."""
    async with serve_receiver() as receiver:
        leadconnector_sandbox.webhooks.subscribe(receiver.url, WebhookRules(delay=LONG, out_of_order=True))
        for title in "ab":
            leadconnector_sandbox.edit_appointment(leadconnector_sandbox.appointment_ids[0], title=title)
        await leadconnector_clock.advance(LONG - 60)
        assert receiver.got == []
        await leadconnector_clock.run(leadconnector_sandbox.webhooks.wait_delivered())
        assert len(receiver.got) == 2


async def test_a_second_clock_of_one_loop_counts_for_itself(leadconnector_clock: Clock) -> None:
    """It begins at zero, and both move."""
    await leadconnector_clock.advance(100)
    second = Clock()
    assert second.elapsed < 50
    await second.advance(100)
    assert second.skipped <= 100 < leadconnector_clock.skipped
    assert leadconnector_clock.elapsed >= 200


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "5", None, True])
async def test_a_time_that_cannot_pass_is_refused(leadconnector_clock: Clock, seconds: float) -> None:
    """By name and value."""
    with pytest.raises(InvalidRequestError, match="seconds is"):
        await leadconnector_clock.advance(seconds)


def test_a_loop_that_is_closed_is_freed() -> None:
    """Otherwise each test with a clock would leave its loop, and all that it refers to, until the end."""

    async def make() -> weakref.ref[asyncio.AbstractEventLoop]:
        await Clock().advance(1)
        return weakref.ref(asyncio.get_running_loop())

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        loop = runner.run(make())
    del runner
    gc.collect()
    assert loop() is None


def test_another_loop_is_refused() -> None:
    """uvloop gives nobody its clock; the error says what to do."""
    uvloop = pytest.importorskip("uvloop")

    async def make() -> None:
        Clock()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        with pytest.raises(RuntimeError, match="needs asyncio's own event loop, and this is uvloop"):
            runner.run(make())
