"""The campaign of killed bookings: real processes book under a key, and are killed with `kill -9`, again and again.

`python -m tests.sharing.once_campaign --kills 200` is the whole of it; the test suite runs a small one. Each trial
books another time of the calendar: a process is killed at a random moment, sometimes the next one too, and then one
runs to its end. Afterwards the sandbox's own state must show one appointment, and it must be the one that was
returned. `--store` is the URL of a store; without it, an SQLite file is used.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from leadconnector_async import Shared
from leadconnector_async._sharing.once import KeyNames, decode_entry
from leadconnector_async.sandbox import Limits, Sandbox

from .once_worker import Booking, Order, Outcome

FIRST = datetime(2027, 6, 7, 9, tzinfo=UTC)
STALL, HOLD = 0.25, 0.1
"""Seconds for which a response is held back, and for which a booking waits for its approval, at most."""
LONGEST = 0.35
"""When a process is killed at the latest, in seconds."""


class Tally(Struct):
    """What a campaign has shown."""

    kills: int = 0
    trials: int = 0
    met: Counter[str] = msgspec.field(default_factory=Counter)
    """How far a killed process had got: before its intent, between intent and booking, between booking and record,
    or after it."""
    reconciled: int = 0
    """Bookings that were found in the calendar by the process that ran to its end."""
    missing: int = 0
    """Keys without an appointment."""
    double: int = 0
    """Keys with more than one."""
    wrong: int = 0
    """Processes that returned another appointment than the one of their key, or failed."""
    longest: float = 0.0
    """What the process that ran to its end took at most, in seconds."""

    @property
    def holds(self) -> bool:
        return not (self.missing or self.double or self.wrong)


class Worker:
    """Carries out orders, one after the other."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> "Worker":
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "tests.sharing.once_worker")
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=2**20))

    async def carry_out(self, order: Order) -> Outcome:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        return msgspec.json.decode(await self._process.stdout.readline(), type=Outcome)

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


class Campaign:
    """Trials against one sandbox and one store."""

    def __init__(self, sandbox: Sandbox, store: str, dice: random.Random) -> None:
        self.sandbox, self.store, self.dice = sandbox, store, dice
        self.tally = Tally()
        self.number = self.planned = 0

    def make_booking(self) -> Booking:
        """Another time than all before."""
        self.number += 1
        event = self.sandbox.appointment(self.sandbox.appointment_ids[0])
        return Booking(
            store=self.store,
            base_url=self.sandbox.url,
            token=self.sandbox.token,
            location_id=self.sandbox.location_id,
            calendar_id=event.calendar_id,
            contact_id=event.contact_id,
            user_id=event.assigned_user_id,
            start=FIRST + timedelta(hours=self.number),
            once=f"order-{self.number}",
            hold=HOLD,
        )

    def list_booked(self, booking: Booking) -> list[str]:
        """The ids of what the sandbox has for this time."""
        start = booking.start
        listed = self.sandbox.store.list_between(booking.location_id, start, start + timedelta(minutes=1))
        return [one.id for one in listed if one.start_time == start and one.contact_id == booking.contact_id]

    async def run_trial(self, worker: Worker, kills: int) -> None:
        """Kill so many processes that book, and let the next one run to its end."""
        booking = self.make_booking()
        for _ in range(kills):
            self.sandbox.faults.plan("create_appointment", [f"stall {self.dice.uniform(STALL / 5, STALL):.3f}"])
            await worker.carry_out(Order(booking, kill_after=self.dice.uniform(0, LONGEST)))
            self.tally.kills += 1
            self.tally.met[await self.find_point(booking)] += 1
        self.judge(booking, await worker.carry_out(Order(booking)))

    async def find_point(self, booking: Booking) -> str:
        """How far the process had got that was killed."""
        shared = Shared(booking.store)
        try:
            entry = await find_entry(shared, booking)
        finally:
            await shared.aclose()
        if entry is None:
            return "before the intent"
        if entry:
            return "recorded"
        return "booked" if self.list_booked(booking) else "intent only"

    def judge(self, booking: Booking, outcome: Outcome) -> None:
        booked = self.list_booked(booking)
        tally = self.tally
        tally.trials += 1
        tally.reconciled += outcome.reconciled
        tally.missing += not booked
        tally.double += len(booked) > 1
        tally.longest = max(tally.longest, outcome.seconds)
        if outcome.ids != booked:
            tally.wrong += 1
            sys.stdout.write(f"{booking.once}: {outcome} instead of {booked}\n")


async def find_entry(shared: Shared, booking: Booking) -> str | None:
    """The result that a store knows of a key; empty if that is open, and `None` if it does not know the key."""
    scope = ("pit", booking.location_id, "create_appointment")
    name = KeyNames.build(scope, booking.once, (), b"").key
    entry = decode_entry(name, await shared.keys.read(name))
    return None if entry is None else entry.result


async def run_campaign(store: str, kills: int, seed: int, workers: int = 4) -> Tally:
    """So many kills. Trials run beside each other, because most of their time is waiting for leases."""
    shared = Shared(store)
    await shared.migrate()
    await shared.aclose()
    async with Sandbox(appointments=2, limits=Limits(max_requests=10_000, interval=1.0)) as sandbox:
        campaign = Campaign(sandbox, store, random.Random(seed))

        async def work() -> None:
            worker = await Worker.start()
            try:
                while campaign.planned < kills:
                    count = campaign.dice.choice((1, 1, 2))
                    campaign.planned += count
                    await campaign.run_trial(worker, count)
            finally:
                await worker.stop()

        await asyncio.gather(*(work() for _ in range(workers)))
    return campaign.tally


async def main(kills: int, seed: int, store: str | None) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        tally = await run_campaign(store or f"sqlite:///{folder}/keys.db", kills, seed)
    sys.stdout.write(f"{tally}\n")
    return tally.holds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--store")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    sys.exit(0 if asyncio.run(main(given.kills, given.seed, given.store)) else 1)
