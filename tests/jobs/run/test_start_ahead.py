"""How many rows start ahead of their turn, in virtual time.

The schedule of the location and the writer of its journal are real; the server, the disk and the clock are played.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, cast

import pytest
from msgspec import structs

from leadconnector_async._limiter.headers import LocationQuota
from leadconnector_async.jobs import JobOptions, RowOutcome
from leadconnector_async.jobs.journal import rows as journal_rows
from leadconnector_async.jobs.journal.groups import FOLDER, Entry
from leadconnector_async.jobs.journal.rows import OpenRow, Position
from leadconnector_async.jobs.journal.writer import JournalWriter, _commit
from leadconnector_async.jobs.run.execute import Ending, Result, RowExecutor
from leadconnector_async.jobs.run.in_flight import InFlightRow
from leadconnector_async.jobs.run.location import Callbacks, LocationRun
from leadconnector_async.jobs.run.read_ahead import ReadAhead
from leadconnector_async.jobs.run.schedule import LocationState
from leadconnector_async.jobs.run.start_ahead import SECONDS, StartAhead, count_allowed
from leadconnector_async.models import AppointmentUpdate

pytestmark = pytest.mark.looptime

CONCURRENCY, MAX_AGE = 50, 60.0
COMMIT, FETCH = 0.02, 0.005
"""Seconds that the disk takes."""
ROW = OpenRow(0, 0, "event", "loc", "pending", 0, None, (AppointmentUpdate(title="x"),), (), None, 0.0, None)
End = Callable[[InFlightRow, Ending], InFlightRow | None]


class Disk(Executor):
    """The thread of a journal: one job after the other, each done when the disk has taken its time."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._free_at = 0.0

    def submit(self, fn: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        self._free_at = max(self._free_at, self._loop.time()) + (self._seconds if fn is _commit else FETCH)

        def work() -> None:
            if future.set_running_or_notify_cancel():
                future.set_result(fn(*given, **named))

        self._loop.call_at(self._free_at, work)
        return future


class World:
    """The rows of a location as its journal has them, and a server that takes `latency` for each."""

    hold = FOLDER

    def __init__(self, count: int, latency: float, *, commit: float = COMMIT) -> None:
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.latency = latency
        self.states = ["pending"] * count
        self.read_at = [self.now()] * count
        self.started_at: dict[int, float] = {}
        self.waited: list[float] = []
        """For each row, in the order of sending: seconds from its start."""
        self.ages: list[float] = []
        """Of their readings when they were sent."""
        self.at_server = 0
        self.in_flight: list[int] = []
        """At each sending."""
        self.in_doubt: list[int] = []
        """After each commit: rows that a crash would leave to be read back."""
        self.fetches = 0
        self._writer = JournalWriter(cast("Any", self), Disk(commit))

    def is_fresh(self, read_at: float, max_age: float) -> bool:
        """Of the clock of readings."""
        return self.now() - read_at <= max_age

    def commit_entries(self, entries: Sequence[Entry]) -> None:
        for one in entries:
            number = cast("int", one.record[0])
            if one.statement is journal_rows._INTEND:
                self.states[number] = "sent"
            elif one.statement is journal_rows._GIVE_BACK:
                self.states[number] = "pending"
            else:
                self.states[number] = str(one.record[1])
        self.in_doubt.append(self.states.count("sent"))

    def fetch(self, after: Position, most: int, journal: object) -> list[OpenRow]:
        self.fetches += 1
        numbers = range(after[1] + 1, min(after[1] + 1 + most, len(self.states))) if after[0] == 0 else range(most)
        return [structs.replace(ROW, number=number, read_at=self.read_at[number]) for number in numbers]

    async def read_again(self, after: Position, most: int) -> Position:
        """From the row that is to start next on."""
        first = after[1] + 1 if after[0] == 0 else 0
        end = min(first + most, len(self.states))
        self.read_at[first:end] = [self.now()] * (end - first)
        return 0, end - 1

    async def send_rows(self, one: InFlightRow, end: End) -> None:
        following: InFlightRow | None = one
        while following is not None:
            sent = following
            self.waited.append(self.now() - self.started_at[sent.row.number])
            self.ages.append(self.now() - sent.row.read_at)
            self.in_flight.append(len(self.run.in_flight.by_number))
            sent.metrics.sent = True
            self.at_server += 1
            await asyncio.sleep(self.latency)
            self.at_server -= 1
            outcome = RowOutcome(line=0, event_id="event", location_id="loc", state="applied")
            following = end(sent, Result(outcome))

    def build(self, lead: StartAhead | None) -> LocationRun:
        def admit() -> bool:
            self.started_at[len(self.started_at)] = self.now()
            return True

        state = LocationState(
            location="loc",
            options=JobOptions(concurrency=CONCURRENCY),
            most=CONCURRENCY,
            ahead=ReadAhead(cast("Any", self), MAX_AGE),
            lead=lead,
            free=CONCURRENCY,
        )
        callbacks = Callbacks(admit, lambda row, outcome, seconds: None, self.read_again)
        self.run = LocationRun(state, cast("RowExecutor", self), self._writer, callbacks)
        return self.run

    async def carry_out(self, lead: StartAhead | None) -> float:
        """Returns the seconds that all rows take."""
        began = self.now()
        await self.build(lead).run(200)
        assert set(self.states) == {"applied"}
        return self.now() - began


@pytest.fixture
def make_world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    def make(count: int, latency: float, **more: float) -> World:
        world = World(count, latency, **more)
        monkeypatch.setattr(journal_rows, "fetch_open", world.fetch)
        return world

    return make


MakeWorld = Callable[..., World]


def lead(most: int = 1000, **more: Any) -> StartAhead:
    return StartAhead(CONCURRENCY, most, max_age=MAX_AGE, **more)


async def test_at_a_slow_server_no_reading_grows_too_old_in_the_queue(make_world: MakeWorld) -> None:
    """At ten rows a second two start ahead: with hundreds, many would be read once more, one by one."""
    world = make_world(800, 5.0)
    await world.carry_out(lead())
    assert max(world.ages) <= MAX_AGE
    assert max(world.ages) > 0.7 * MAX_AGE, "readings were used for as long as they were good"
    assert max(world.in_flight) <= CONCURRENCY + 10 * SECONDS


async def test_at_a_fast_server_the_queue_is_deep_enough_for_the_disk(make_world: MakeWorld) -> None:
    """The server is busy as if commits took no time; without rows ahead it would be idle most of the time."""
    rows = 5000
    ideal = rows * 0.01 / CONCURRENCY
    seconds = [await make_world(rows, 0.01).carry_out(one) for one in (None, lead())]
    assert seconds[0] > 4 * ideal
    assert seconds[1] < 1.2 * ideal


async def test_a_slower_pace_makes_the_queue_shorter(make_world: MakeWorld) -> None:
    """What had started ahead is sent first; then the queue is as short as if the server had been slow all along."""
    world = make_world(4300, 0.01)
    running = asyncio.create_task(world.carry_out(lead()))
    await asyncio.sleep(0.5)
    world.latency = 5.0
    await asyncio.sleep(1.0)
    early = len(world.started_at)
    assert early - len(world.ages) > 300, "it was long"
    await running
    assert world.waited[early - 1] > 10, "these had started before"
    later = slice(early + 1, None)  # the first of them was waiting to start all the time, and is read by itself
    assert len(world.ages[later]) > 3 * CONCURRENCY
    assert max(world.in_flight[later]) <= CONCURRENCY + 10 * SECONDS
    assert max(world.ages[later]) <= MAX_AGE


def test_one_slow_response_does_not_empty_the_queue_and_many_do() -> None:
    """The pace is that of the last rows, about sixteen."""
    ahead = lead()
    assert ahead.record(0.1, 0.0) == CONCURRENCY + 500 * SECONDS
    assert ahead.record(1.7, 1.0) == CONCURRENCY + int(250 * SECONDS)
    for _ in range(100):
        most = ahead.record(5.0, 2.0)
    assert most == CONCURRENCY + 2
    for _ in range(100):
        most = ahead.record(0.1, 3.0)
    assert most > CONCURRENCY + 400 * SECONDS
    assert ahead.record(0.0, 4.0) <= CONCURRENCY + 1000


@pytest.mark.parametrize(("max_age", "most"), [(60.0, 125), (0.4, 50), (0.0, 125)])
def test_a_shorter_age_of_readings_makes_a_shorter_queue(max_age: float, most: int) -> None:
    """A row may wait for the rest of its reading's time. With an age of 0, it is read when its turn has come."""
    assert StartAhead(CONCURRENCY, 1000, max_age=max_age).record(0.1, 0.0) == CONCURRENCY + most


QUOTA = LocationQuota(limit=100, interval=10.0, remaining=0, reserve=4, daily_limit=200_000, daily_remaining=1)


def test_the_burst_at_the_beginning_of_a_window_is_not_taken_for_the_pace() -> None:
    """Of a limit of 96 in 10 s, half may go at once: what starts ahead then waits for the rest of the window."""
    assert count_allowed(QUOTA) == 9.6
    assert count_allowed(structs.replace(QUOTA, members=2)) == 4.8
    assert lead(find_allowed=partial(count_allowed, QUOTA)).record(0.01, 0.0) == CONCURRENCY + 2


def test_nothing_starts_ahead_while_the_location_pauses() -> None:
    """The limit is looked at again a moment later."""
    quota = structs.replace(QUOTA, limit=10_004)
    quotas = iter([quota, structs.replace(quota, paused_seconds=30.0), quota])
    ahead = lead(find_allowed=lambda: count_allowed(next(quotas)))
    found = [ahead.record(0.01, now) - CONCURRENCY for now in (0.0, 0.01, 0.1, 0.11, 0.2)]
    assert found == [1000 * SECONDS, 1000 * SECONDS, 0, 0, 1000 * SECONDS]


async def test_the_journal_is_not_asked_again_while_the_last_rows_end(make_world: MakeWorld) -> None:
    """Two fetches find rows, one that there are no more, and one that none has been put behind them since."""
    world = make_world(400, 0.5)
    await world.carry_out(lead())
    assert world.fetches == 4


async def test_a_run_that_ends_early_gives_back_what_was_not_begun(make_world: MakeWorld) -> None:
    """As by a pause, a stop or a cancel: rows ahead are pending again, and only what was sent is waited for."""
    world = make_world(4000, 0.05)
    run = world.build(lead())
    running = asyncio.create_task(run.run(200))
    await asyncio.sleep(1.0)
    ahead = len(run.in_flight.by_number)
    assert ahead > 5 * CONCURRENCY
    assert run.in_flight.sent < ahead / 2
    assert run.in_flight.sent >= world.at_server == CONCURRENCY
    sent, closed_at = len(world.ages), world.now()
    run.close()
    assert len(run.in_flight.by_number) - run.in_flight.sent <= ahead / 2, "the queue is gone at once"
    await running
    await world._writer.flush()
    assert world.now() - closed_at < world.latency + 4 * COMMIT
    assert len(world.ages) == sent, "nothing was sent after it"
    assert world.states.count("applied") == sent
    assert set(world.states) == {"applied", "pending"}


async def test_a_crash_leaves_no_more_in_doubt_than_was_in_flight(make_world: MakeWorld) -> None:
    """At any moment: the rows whose intent is on disk, and whose outcome is not."""
    world = make_world(2000, 0.01)
    await world.carry_out(lead(200))
    assert max(world.in_doubt) <= CONCURRENCY + 200
    slow = make_world(300, 5.0)
    await slow.carry_out(lead(200))
    assert max(slow.in_doubt) <= 2 * CONCURRENCY
