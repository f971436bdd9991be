"""Ten minutes of 200 locations, two requests in a hundred going wrong: nothing is lost and nothing grows."""

import asyncio
import gc
import random
import sys

from leadconnector_async import AppointmentUpdate, LeadConnector, LeadConnectorError
from leadconnector_async.sandbox import Fault, Limits

from .virtual import run
from .world import World

LOCATIONS, MINUTES, EVERY = 200, 10, 3.0
KINDS = (
    "503",
    "503-after-apply",
    "reset",
    "lose-response",
    "half-body",
    "html 502",
    "stall 1",
    "429 retry-after=2",
)


class _Mishaps:
    """Two in a hundred go wrong, for ever."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.met = 0

    def take(self, operation: str) -> Fault:
        if self.dice.random() >= 0.02:
            return Fault("ok")
        self.met += 1
        return Fault.parse(self.dice.choice(KINDS))


class Soak:
    def __init__(self) -> None:
        self.world = World(Limits(max_requests=20, interval=10.0), log_size=100)
        self.mishaps = _Mishaps(self.world.dice)
        self.world.sandbox._app.faults = self.mishaps  # type: ignore[assignment]
        self.calls = 0
        self.lost: list[str] = []
        self.blocks: list[int] = []

    async def play(self) -> None:
        ids = self.world.sandbox.appointment_ids
        workers = [asyncio.create_task(self._work(number, ids[number])) for number in range(LOCATIONS)]
        for _ in range(MINUTES):
            await asyncio.sleep(60)
            gc.collect()
            self.blocks.append(sys.getallocatedblocks())
        await asyncio.gather(*workers)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def _work(self, number: int, event_id: str) -> None:
        """Change one appointment over and over, and hold what is reported against what is there."""
        sandbox = self.world.sandbox
        location_id = f"location{number}"
        sandbox.edit_appointment(event_id, location_id=location_id)
        token = sandbox.issue_token(location_id=location_id)
        client = self.world.connect(token=token, location_id=location_id)
        loop = asyncio.get_running_loop()
        while loop.time() < MINUTES * 60:
            await self._change(client, event_id)
            await asyncio.sleep(self.world.dice.uniform(0, 2 * EVERY))

    async def _change(self, client: LeadConnector, event_id: str) -> None:
        before = self.world.sandbox.appointment(event_id).title
        self.calls += 1
        title = f"change {self.calls}"
        try:
            shown = await client.update_appointment(event_id, AppointmentUpdate(title=title))
            expected = {title} if shown.title == title else set()
        except LeadConnectorError as error:
            expected = {"applied": {title}, "not_applied": {before}, "unknown": {title, before}}[error.outcome]
        if self.world.sandbox.appointment(event_id).title not in expected:
            self.lost.append(title)


def test_nothing_is_lost_and_nothing_grows() -> None:
    """What is reported is what is there, after each of tens of thousands of calls; memory stays as it is."""
    soak = Soak()
    run(soak.play())
    assert soak.calls > 30_000
    assert soak.mishaps.met > 600
    assert soak.lost == []
    assert soak.blocks[-1] < soak.blocks[1] * 1.02
