"""Random scripts of faults, cancellations and deadlines, on real sockets."""

import asyncio
import random

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    LeadConnector,
    LeadConnectorError,
    RetryPolicy,
    Timeouts,
    answer_of,
)
from leadconnector_async.sandbox import Limits, Sandbox

CALLS, INTERVAL = 40, 0.2
FAULTS = ["503", "reset", "lose-answer", "html 502", "stall 0.05", "half-body", "503-after-apply"]


class Campaign:
    """One random script, the same for the same number."""

    def __init__(self, number: int, *, cancelling: bool) -> None:
        self.dice = random.Random(number)
        self.cancelling = cancelling
        self.limits = Limits(max_requests=self.dice.randint(3, 30), interval=INTERVAL)
        self.attempts = 0

    def plan(self) -> dict[str, list[str]]:
        script = [self.dice.choice(["ok", *FAULTS]) for _ in range(CALLS)]
        return {"update_appointment": script[10:], "get_appointment": script[:10]}

    async def call(self, client: LeadConnector, event_id: str) -> None:
        if self.cancelling and self.dice.random() < 0.3:
            client = client.with_options(retry=RetryPolicy(deadline=self.dice.uniform(0.01, 0.4)))
        reading = self.dice.random() < 0.3
        update = AppointmentUpdate(title="x")
        try:
            call = client.get_appointment(event_id) if reading else client.update_appointment(event_id, update)
            attempts = (await answer_of(call)).attempts
        except LeadConnectorError as error:
            attempts = error.attempts
        self.attempts += attempts

    async def run(self, client: LeadConnector, sandbox: Sandbox) -> None:
        ids = sandbox.appointment_ids
        tasks = [asyncio.create_task(self.call(client, ids[n % len(ids)])) for n in range(CALLS)]
        for task in tasks:
            if self.cancelling and self.dice.random() < 0.2:
                asyncio.get_running_loop().call_later(self.dice.uniform(0, 0.4), task.cancel)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(one) for one in ended} <= {type(None), asyncio.CancelledError}


@pytest.mark.parametrize("cancelling", [False, True])
@pytest.mark.parametrize("number", range(4))
async def test_whatever_goes_wrong_no_slot_is_lost_and_none_is_refused(number: int, cancelling: bool) -> None:
    """No request refused for its rate, all slots given back, nobody left waiting, every request counted."""
    campaign = Campaign(number, cancelling=cancelling)
    policy = RetryPolicy(backoff_base=0.01, max_attempts=campaign.dice.randint(1, 6))
    async with Sandbox(appointments=20, limits=campaign.limits, faults=campaign.plan(), strict=False) as sandbox:
        async with LeadConnector(
            sandbox.token, base_url=sandbox.url, retry=policy, timeouts=Timeouts(connect=0.5, read=0.5)
        ) as client:
            await campaign.run(client, sandbox)
            (lane,) = client._shared.throttle._lanes.values()
        assert sandbox.requests.count_statuses()[429] == 0
        assert lane.slots.in_flight == 0
        assert lane.waiting == 0
        if not cancelling:
            assert len(sandbox.requests) == campaign.attempts
