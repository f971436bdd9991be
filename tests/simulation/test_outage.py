"""A minute in which every request fails: it is not made worse by those who wait for its end."""

import asyncio
from collections import Counter

from leadconnector_async import LeadConnector, LeadConnectorError
from leadconnector_async.sandbox import Limits

from .virtual import run
from .world import World

RATE, MINUTE = 50, 60
CALLS = RATE * MINUTE


class Outage:
    """A minute of peace, a minute of 503, a minute of peace, at 50 calls a second."""

    def __init__(self) -> None:
        self.world = World(Limits(max_requests=1000, interval=10.0), log_size=30_000)
        self.succeeded: Counter[str] = Counter()

    async def play(self) -> None:
        client = self.world.connect()
        faults, tasks = self.world.sandbox.faults, []
        for name in ("before", "outage", "after"):
            if name == "outage":
                faults.plan("get_appointment", ["503"] * CALLS * 5)
            elif name == "after":
                faults.clear()
            for number in range(CALLS):
                part = "first windows" if name == "after" and number < 20 * RATE else name
                tasks.append(asyncio.create_task(self._call(client, part)))
                await asyncio.sleep(1 / RATE)
        await asyncio.gather(*tasks)

    async def _call(self, client: LeadConnector, part: str) -> None:
        try:
            await client.get_appointment(self.world.sandbox.appointment_ids[0])
        except LeadConnectorError:
            return
        self.succeeded[part] += 1

    def count_requests(self, first: float, last: float) -> int:
        return sum(first <= request.at < last for request in self.world.sandbox.requests)


def test_an_outage_costs_few_requests_and_is_over_when_it_is_over() -> None:
    """At most 1.1 requests for each call, and within two windows 95 of 100 calls succeed again."""
    outage = Outage()
    run(outage.play())
    assert outage.succeeded["before"] >= CALLS - RATE
    assert outage.count_requests(MINUTE, 2 * MINUTE) <= 1.10 * CALLS
    assert outage.succeeded["first windows"] >= 0.95 * 20 * RATE
    assert outage.succeeded["after"] == CALLS - 20 * RATE
