"""Creations whose responses get lost, in virtual time: what exists in the end, and what was said about it.

python -m tests.simulation.creating --creations 10000
"""

import argparse
import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from unittest import mock

import msgspec
from msgspec import Struct, field

from leadconnector_async import (
    AppointmentCreate,
    BlockSlotCreate,
    LeadConnector,
    LeadConnectorError,
    OutcomeUnknownError,
    with_response,
)
from leadconnector_async.sandbox import Limits
from leadconnector_async.sandbox.models import BookedAppointment, BookedNote

from . import virtual
from .world import World

T = TypeVar("T")

DAY: Final = datetime(2027, 6, 7, 13, tzinfo=UTC)
APPLIED: Final = ("lose-response", "half-body", "500-after-apply", "503-after-apply", "502-after-apply", "late 3")
NOT_APPLIED: Final = ("reset", "500", "503", "502", "504", "html 200", "html 502")
READING_FAULTS: Final = ("503", "reset", "html 200", "stall 40")
AGES: Final = (2.0, 5.0, 15.0, 60.0, 600.0, 3600.0)
"""Seconds before a call at which somebody else has made the same; less cannot be told by a `Date`."""
PER_SECOND: Final = 4.0
OPERATIONS: Final = {
    "create_appointment": "list_events",
    "create_block_slot": "list_blocked_slots",
    "create_note": "list_notes",
}


def run(main: Coroutine[object, object, T]) -> T:
    """Run it in virtual time, by the wall clock too: the client compares that with the `Date` of responses."""

    async def keep_time() -> T:
        began, loop = time.time(), asyncio.get_running_loop()
        with mock.patch("time.time", side_effect=lambda: began + loop.time()):
            return await main

    return virtual.run(keep_time())


class Wanted(Struct):
    """One thing to create, once or several times at once, and what came of it."""

    operation: str
    number: int
    times: int
    age: float | None = None
    """How long before the call somebody else has made the same; `None` if nobody has."""
    older: str | None = None
    """The id of that."""
    returned: list[str] = field(default_factory=list)
    unknown: list[tuple[str, ...]] = field(default_factory=list)
    """The candidates of each call that said that it does not know."""
    unread: int = 0
    """Calls that said that it was created, and that its response and the calendar cannot be read."""
    refused: int = 0
    """Calls that said that nothing was created."""


class Ended(Struct):
    """What the server has in the end, compared with what was said."""

    wanted: int
    faults: int
    reconciled: int
    unread: int
    unknown: int
    refused: int
    unsaid: int
    """Calls that ended in none of these ways."""
    missing: int
    """Reported as created, and not there."""
    too_many: int
    """There more often than it can be."""
    wrong: int
    """Claims of what somebody else has made, or of what another call has returned."""
    older: int
    """Things that looked the same and had been there before."""


class Campaign:
    """Creations of all kinds, some twice at once, some beside an older one that looks the same."""

    def __init__(self, creations: int, *, share: float = 0.05, seed: int = 1) -> None:
        self.dice = random.Random(seed)
        self.world = World(Limits(max_requests=100), appointments=50, log_size=10, seed=seed)
        self.store = self.world.sandbox.store
        self.event_id = self.world.sandbox.appointment_ids[0]
        self.calendar = self.store.calendars[self.world.sandbox.appointment(self.event_id).calendar_id]
        self.wanted = self._list_wanted(creations)
        self.reconciled = 0
        self._plan(creations, share)
        self.planned = self._count_faults()

    def _list_wanted(self, creations: int) -> list[Wanted]:
        wanted: list[Wanted] = []
        while sum(one.times for one in wanted) < creations:
            kind = self.dice.choices([*OPERATIONS], [8, 1, 1])[0]
            age = self.dice.choice(AGES) if self.dice.random() < 0.1 else None
            times = 1 if age is not None else self.dice.choices([1, 2, 3], [90, 8, 2])[0]
            wanted.append(Wanted(kind, len(wanted), times, age))
        return wanted

    def _plan(self, creations: int, share: float) -> None:
        """Half of the faults come after the creation was applied, half of them instead of it."""
        for operation, reading in OPERATIONS.items():
            faults = [self._choose(share, APPLIED if n % 2 else NOT_APPLIED) for n in range(2 * creations)]
            self.world.sandbox.faults.plan(operation, faults)
            self.world.sandbox.faults.plan(
                reading, [self._choose(share / 2, READING_FAULTS) for _ in range(creations)]
            )

    def _count_faults(self) -> int:
        """Those of creations that no request has met."""
        unused = self.world.sandbox.faults.unused()
        return sum(str(one) != "ok" for operation in OPERATIONS for one in unused.get(operation, []))

    def _choose(self, share: float, faults: tuple[str, ...]) -> str:
        return self.dice.choice(faults) if self.dice.random() < share else "ok"

    async def run(self) -> Ended:
        random.seed(self.dice.random())  # waits before retries are of the module's own dice
        async with self.world.connect() as client:
            duration = sum(one.times for one in self.wanted) / PER_SECOND
            await asyncio.gather(*(self._want(client, one, self.dice.uniform(0, duration)) for one in self.wanted))
            await asyncio.sleep(60)  # what is late arrives
        return self._judge()

    async def _want(self, client: LeadConnector, wanted: Wanted, begin: float) -> None:
        await asyncio.sleep(begin)
        if wanted.age is not None:
            wanted.older = self._make_older(wanted)
            await asyncio.sleep(wanted.age)
        await asyncio.gather(*(self._create(client, wanted) for _ in range(wanted.times)))

    async def _create(self, client: LeadConnector, wanted: Wanted) -> None:
        try:
            response = await with_response(self._build_call(client, wanted))
        except OutcomeUnknownError as error:
            wanted.unknown.append(error.candidates)
        except LeadConnectorError as error:
            wanted.unread += error.outcome == "applied"
            wanted.refused += error.outcome == "not_applied"
        else:
            self.reconciled += response.reconciled
            wanted.returned.append(str(getattr(response.value, "id", None)))

    def _build_call(self, client: LeadConnector, wanted: Wanted) -> Awaitable[object]:
        start, title = self._start_of(wanted), f"Visit {wanted.number}"
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "create_appointment": lambda: client.create_appointment(
                AppointmentCreate(
                    calendar_id=self.calendar.id,
                    contact_id=self._contact_of(wanted),
                    title=title,
                    start_time=start,
                    assigned_user_id=self.calendar.team[0],
                    **({"end_time": start + timedelta(minutes=30)} if wanted.number % 2 else {}),
                )
            ),
            "create_block_slot": lambda: client.create_block_slot(
                BlockSlotCreate(
                    calendar_id=self.calendar.id,
                    title=title,
                    start_time=start,
                    end_time=start + timedelta(minutes=30),
                )
            ),
            "create_note": lambda: client.create_note(self._noted(wanted), title, user_id=self.calendar.team[0]),
        }
        return calls[wanted.operation]()

    def _start_of(self, wanted: Wanted) -> datetime:
        """Three contacts want each time."""
        return DAY + timedelta(minutes=15 * (wanted.number // 3))

    def _contact_of(self, wanted: Wanted) -> str:
        return f"contact{wanted.number % 3}"

    def _noted(self, wanted: Wanted) -> str:
        return self.world.sandbox.appointment_ids[wanted.number % 50]

    def _make_older(self, wanted: Wanted) -> str:
        """What somebody else makes looks exactly like what is wanted."""
        older, start = f"older{wanted.number}", self._start_of(wanted)
        title, user_id = f"Visit {wanted.number}", self.calendar.team[0]
        _, self.store.now = self.world.sandbox._app.clock.read(asyncio.get_running_loop().time())
        if wanted.operation == "create_note":
            note = BookedNote(older, title, user_id, "c", self.store.now)
            self.store.notes[self._noted(wanted)].append(note)
            return older
        is_block = wanted.operation == "create_block_slot"
        minutes = 30 if is_block or wanted.number % 2 else self.calendar.slot_minutes
        self.store.put(
            BookedAppointment(
                id=older,
                location_id=self.calendar.location_id,
                calendar_id=self.calendar.id,
                contact_id="" if is_block else self._contact_of(wanted),
                title=title,
                appointment_status="confirmed",
                assigned_user_id="" if is_block else user_id,
                start_time=start,
                end_time=start + timedelta(minutes=minutes),
                is_block=is_block,
            )
        )
        return older

    def _count(self) -> dict[tuple[str, str], list[str]]:
        """The ids of what exists, by operation and title."""
        found: dict[tuple[str, str], list[str]] = {}
        for event in self.store:
            operation = "create_block_slot" if event.is_block else "create_appointment"
            found.setdefault((operation, event.title), []).append(event.id)
        for notes in self.store.notes.values():
            for note in notes:
                found.setdefault(("create_note", note.body), []).append(note.id)
        return {key: ids for key, ids in found.items() if key[1].startswith("Visit ")}

    def _judge(self) -> Ended:
        found = self._count()
        ended = Ended(
            sum(one.times for one in self.wanted),
            self.planned - self._count_faults(),
            self.reconciled,
            sum(one.unread for one in self.wanted),
            sum(len(one.unknown) for one in self.wanted),
            sum(one.refused for one in self.wanted),
            *(0,) * 4,
            older=sum(one.age is not None for one in self.wanted),
        )
        for one in self.wanted:
            made = [id_ for id_ in found.get((one.operation, f"Visit {one.number}"), []) if id_ != one.older]
            ended.wrong += len(one.returned) - len(set(one.returned) & set(made))
            created = len(one.returned) + one.unread
            ended.unsaid += one.times - created - len(one.unknown) - one.refused
            ended.missing += max(0, created - len(made))
            ended.too_many += max(0, len(made) - created - len(one.unknown))
        return ended


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--creations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    ended = run(Campaign(given.creations, seed=given.seed).run())
    print("| what | seen |\n| --- | ---: |")
    for name, value in msgspec.structs.asdict(ended).items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
