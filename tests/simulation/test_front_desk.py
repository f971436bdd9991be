"""Nobody at a front desk waits for a job, in virtual time."""

import asyncio

import pytest
from multidict import CIMultiDict

from leadconnector_async import LeadConnector, RateLimit, RetryPolicy, with_response
from leadconnector_async._limiter.slots import LocalBudget, Ticket
from leadconnector_async.sandbox import Limits

from .front_desk import N, T, play
from .virtual import run
from .windows import WINDOWS, Algorithm
from .world import World


@pytest.mark.parametrize("rate", [0.5, 1.0])
@pytest.mark.parametrize("algorithm", WINDOWS)
def test_calls_beside_a_job_in_the_same_process_hardly_wait(algorithm: Algorithm, rate: float) -> None:
    """Most find a slot, one in a hundred waits for a second at most; the job takes what is left to it."""
    seen = play(algorithm, rate=rate)
    assert (seen.refused, seen.failed) == (0, [])
    assert len(seen.waits) >= 120 * rate / 0.5
    assert seen.find_wait(0.5) <= 0.001
    assert seen.find_wait(0.9) < 0.3
    assert seen.find_wait(0.99) < 1.0
    assert seen.of_bound <= 1.10


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_calls_beside_a_job_in_another_process_wait_little_and_none_fails(algorithm: Algorithm) -> None:
    """Without a shared store: the job leaves room at the server, and sees the others by what remains there."""
    for rate in (0.5, 1.0):
        seen = play(algorithm, rate=rate, processes=2)
        assert seen.failed == []
        assert seen.find_wait(0.9) < 1.0


def test_writes_are_treated_like_reads() -> None:
    """A job that updates, beside people who read and update."""
    seen = play("sliding", writes=True)
    assert (seen.refused, seen.failed) == (0, [])
    assert (seen.find_wait(0.5) <= 0.001, seen.find_wait(0.9) < 0.3, seen.find_wait(0.99) < 1.0) == (True,) * 3
    assert seen.of_bound <= 1.10


def test_an_idle_front_desk_costs_a_job_one_in_twenty() -> None:
    """The same job without a reserve, and with the one that follows demand: 5 to 6 % in the long run."""
    seconds = [play("sliding", rate=0.001, rows=40 * N - 60, reserve=reserve).seconds for reserve in (0, None)]
    assert 1.0 < seconds[1] / seconds[0] <= 1.06


def test_waiting_bulk_calls_are_woken_by_time_and_keep_nobody_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget is asked a few times for each request that is sent, not in a loop."""
    asked, take = list[float](), LocalBudget.take

    def count(budget: LocalBudget, now: float, **which: bool) -> Ticket | None:
        asked.append(now)
        return take(budget, now, **which)

    monkeypatch.setattr(LocalBudget, "take", count)
    seen = play("sliding", rows=5 * N)
    assert len(asked) <= 5 * (seen.rows + len(seen.waits))


@pytest.mark.parametrize("most", [1, 2, 10])
def test_neither_class_starves_the_other(most: int) -> None:
    """With more of both than can go, bulk calls get a fifth at least, and interactive calls more than they."""

    async def main() -> dict[bool, int]:
        world = World(Limits(max_requests=most, interval=T))
        people = world.connect(rate_limit=RateLimit(max_requests=most, interval=T))
        job, done = people.with_options(priority="bulk"), {False: 0, True: 0}

        async def call(client: LeadConnector) -> None:
            while True:
                await client.get_appointment(world.sandbox.appointment_ids[0])
                done[client is job] += 1

        tasks = [asyncio.create_task(call(client)) for client in (people, job) for _ in range(20)]
        await asyncio.sleep(20 * T)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return done

    done = run(main())
    assert done[True] + done[False] >= 19 * most
    assert done[True] >= 0.2 * (done[True] + done[False]) - 2
    assert done[False] > done[True]


def test_a_call_that_others_keep_from_its_slot_does_not_fail() -> None:
    """However often it is refused: a 429 that belongs to a pause of the location is not an attempt."""

    async def main() -> int:
        world = World(Limits(max_requests=1, interval=1.0), algorithm="counting")
        event_id = world.sandbox.appointment_ids[0]
        headers = CIMultiDict({"Authorization": f"Bearer {world.sandbox.token}", "Version": "2021-04-15"})

        async def use_all() -> None:
            """A program that does not wait after a 429."""
            while True:
                await world.exchange("GET", f"/calendars/events/appointments/{event_id}", headers, b"")

        others = [asyncio.create_task(use_all()) for _ in range(20)]
        await asyncio.sleep(1)
        call = asyncio.create_task(with_response(world.connect().get_appointment(event_id)))
        await asyncio.sleep(60)
        assert not call.done()
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        return (await call).attempts

    assert run(main()) > 2 * RetryPolicy().max_attempts
