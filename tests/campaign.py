"""A random script of faults, cancellations and deadlines on real sockets, made from a number."""

import asyncio
import random

from msgspec import Struct

from leadconnector_async import (
    AppointmentUpdate,
    LeadConnector,
    LeadConnectorError,
    RetryPolicy,
    Timeouts,
    with_response,
)
from leadconnector_async.sandbox import Limits, Sandbox

from .lanes import budget_of

CALLS, INTERVAL = 40, 0.2
FAULTS = ["503", "reset", "lose-response", "html 502", "stall 0.05", "half-body", "503-after-apply"]


class Ended(Struct):
    """What became of a script."""

    refused: int
    """429s."""
    in_flight: int
    """Slots that nobody gave back."""
    waiting: int
    seen: int
    """Requests that the server saw."""
    reported: int
    """Attempts that the library reported; less than seen if calls were cancelled."""
    overshoot: float
    """By how many seconds a deadline was passed at most."""
    bounded: int
    """Calls with a deadline."""


class Campaign:
    """One script, the same for the same number."""

    def __init__(self, number: int, *, cancelling: bool) -> None:
        self.dice = random.Random(number)
        self.cancelling = cancelling
        self.limits = Limits(max_requests=self.dice.randint(3, 30), interval=INTERVAL)
        self.reported = self.bounded = 0
        self.overshoot = 0.0

    async def run(self) -> Ended:
        policy = RetryPolicy(backoff_base=0.01, max_attempts=self.dice.randint(1, 6))
        bounds = Timeouts(connect=10, total=10)
        async with Sandbox(appointments=20, limits=self.limits, strict=False) as sandbox:
            async with LeadConnector(sandbox.token, base_url=sandbox.url, retry=policy, timeouts=bounds) as client:
                await self._learn_limits(client, sandbox)
                await self._call_all(client, sandbox)
                lane = client._shared.limiter.lanes.get(None)
            assert lane is not None
            refused = sandbox.requests.count_statuses()[429]
            seen = len(sandbox.requests)
        return Ended(
            refused,
            budget_of(lane).slots.in_flight,
            lane.waiting,
            seen,
            self.reported,
            self.overshoot,
            self.bounded,
        )

    async def _learn_limits(self, client: LeadConnector, sandbox: Sandbox) -> None:
        """One good answer first: a limit that was never stated can be met once."""
        await client.get_appointment(sandbox.appointment_ids[0])
        self.reported += 1
        for operation, faults in self._plan().items():
            sandbox.faults.plan(operation, faults)

    def _plan(self) -> dict[str, list[str]]:
        script = [self.dice.choice(["ok", *FAULTS]) for _ in range(CALLS)]
        return {"update_appointment": script[10:], "get_appointment": script[:10]}

    async def _call_all(self, client: LeadConnector, sandbox: Sandbox) -> None:
        ids = sandbox.appointment_ids
        tasks = [asyncio.create_task(self._call(client, ids[n % len(ids)])) for n in range(CALLS)]
        for task in tasks:
            if self.cancelling and self.dice.random() < 0.2:
                asyncio.get_running_loop().call_later(self.dice.uniform(0, 0.4), task.cancel)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(one) for one in ended} <= {type(None), asyncio.CancelledError}

    async def _call(self, client: LeadConnector, event_id: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = self.dice.uniform(0.01, 0.4) if self.cancelling and self.dice.random() < 0.3 else None
        if deadline is not None:
            client = client.with_options(retry=RetryPolicy(deadline=deadline))
        update = AppointmentUpdate(title="x")
        reading = self.dice.random() < 0.3
        began = loop.time()
        try:
            call = client.get_appointment(event_id) if reading else client.update_appointment(event_id, update)
            attempts = (await with_response(call)).attempts
        except LeadConnectorError as error:
            attempts = error.attempts
        if deadline is not None:
            self.bounded += 1
            self.overshoot = max(self.overshoot, loop.time() - began - deadline)
        self.reported += attempts
