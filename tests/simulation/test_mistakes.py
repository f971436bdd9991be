"""The known ways to get a limiter wrong: each is put in, and the check that guards against it must catch it."""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from leadconnector_async import RateLimit
from leadconnector_async._limiter import reserve
from leadconnector_async._limiter.lane import Lane
from leadconnector_async._limiter.reserve import Reserve
from leadconnector_async._limiter.slots import LocalBudget, Refused, Ticket

from ..lanes import budget_of, make_lane, now, take
from .front_desk import play as play_front_desk
from .schedules import play
from .virtual import run


def check_windows() -> None:
    """Never more than N in T at the server."""
    assert sum(play(number, "fixed").refused for number in range(40)) == 0


def check_both_classes() -> None:
    """Every slot comes back, those of bulk calls too."""
    assert sum(play(number, "fixed", bulk=0.5).in_flight for number in range(10)) == 0


def check_cancelled_waiters() -> None:
    """A waiter that is cancelled in the turn of its grant gives its slot back."""

    async def main() -> None:
        lane = make_lane(max_requests=1)
        ticket = take(lane)
        waiter = asyncio.create_task(lane.take())
        await asyncio.sleep(0)
        lane.free(ticket, sent=False)
        waiter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiter
        assert budget_of(lane).slots.in_flight == 0

    run(main())


def check_pauses() -> None:
    """A shorter pause does not end a longer one."""
    budget = LocalBudget(RateLimit(max_requests=5, interval=1.0))
    for _ in range(5):
        budget.window.grow(-1.0, 1.0)
    first = budget.take(0.0)
    assert first is not None
    budget.finish(first, 0.1, {"x-ratelimit-max": "5"}, success=False)
    budget.begin_pause(first, 0.1, 60.0)
    late = Ticket(budget.slots.sent + 1, 0.1, 0)
    budget.slots.in_flight += 1
    budget.finish(late, 0.2, {}, success=False)
    budget.begin_pause(late, 0.2, 1.0)
    assert budget.pause.until == 60.1


def check_queue() -> None:
    """One that waits does not hold up the rest: a limit that grows lets all go, and nobody is in the way."""

    async def main() -> None:
        lane = make_lane(max_requests=1)
        for _ in range(9):
            budget_of(lane).window.grow(now(), 10.0)
        budget_of(lane).limit.max_requests = 2
        lane.finish(take(lane), now(), {})
        under_way = take(lane)
        waiters = [asyncio.create_task(lane.take()) for _ in range(3)]
        await asyncio.sleep(1)
        lane.finish(under_way, now(), {"x-ratelimit-max": "9"})
        async with asyncio.timeout(1):
            await asyncio.gather(*waiters)

    run(main())


def check_clock() -> None:
    """Wall-clock time may be set back by an hour; the loop's clock never is."""

    async def main() -> None:
        lane = make_lane(max_requests=1)
        ticket = take(lane)
        lane.finish(ticket, lane._loop.time(), {})
        async with asyncio.timeout(60):
            await lane.take()

    run(main())


def check_front_desk() -> None:
    """Calls beside a job in the same process hardly wait, and the job takes what is left to it."""
    seen = play_front_desk("sliding", rows=1300)
    assert seen.find_wait(0.9) < 0.3
    assert seen.find_wait(0.97) < 1.0
    assert seen.of_bound <= 1.10


def check_other_front_desk() -> None:
    """Calls beside a job in another process wait little."""
    assert play_front_desk("sliding", rows=1300, processes=2).find_wait(0.9) < 1.0


def check_overtaken() -> None:
    """A bulk call that others have overtaken goes next, however evenly bulk calls are spread."""

    async def main() -> int:
        lane, served = make_lane(max_requests=40), list[bool]()

        async def work(*, bulk: bool) -> None:
            while True:
                ticket = await lane.take(bulk=bulk)
                assert isinstance(ticket, Ticket)
                lane.finish(ticket, now(), {})
                served.append(bulk)

        tasks = [asyncio.create_task(work(bulk=bulk)) for bulk in (False, True) for _ in range(100)]
        await asyncio.sleep(99)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return sum(served)

    assert run(main()) >= 70


def put_in_a_leaky_bucket(patch: pytest.MonkeyPatch) -> None:
    """A slot comes back every T/N seconds: almost 2N get through in one window."""

    def catch_up(budget: LocalBudget, at: float) -> None:
        gap, cooling = budget.limit.interval / budget.limit.max_requests, budget.slots.cooling
        last = getattr(catch_up, "last", {}).get(id(budget), at)
        while cooling and last + gap <= at:
            cooling.popleft()
            last += gap
        catch_up.__dict__.setdefault("last", {})[id(budget)] = last if cooling else at

    patch.setattr(LocalBudget, "catch_up", catch_up)


def put_in_stamping_at_sending(patch: pytest.MonkeyPatch) -> None:
    """The server may count a request as late as its answer."""
    finish = LocalBudget.finish

    def stamp(budget: LocalBudget, ticket: Ticket, answered_at: float, headers: Any, **more: bool) -> None:
        finish(budget, ticket, answered_at, headers, **more)
        budget.slots.cooling[-1] = (ticket.sent_at, ticket.sent_at)
        budget.slots.cooling = deque(sorted(budget.slots.cooling))

    patch.setattr(LocalBudget, "finish", stamp)


def put_in_a_lock_over_the_wait(patch: pytest.MonkeyPatch) -> None:
    """Whoever waits sleeps out a time that he has worked out, and all others queue at his lock."""
    locks: dict[int, asyncio.Lock] = {}

    async def wait(lane: Lane, *, bulk: bool = False, deadline: float | None = None) -> Ticket | Refused:
        async with locks.setdefault(id(lane), asyncio.Lock()):
            while (ticket := lane.budget.take(now())) is None:
                await asyncio.sleep((lane.budget.compute_next(now()) or now() + 1) - now())
            return ticket

    patch.setattr(Lane, "take", wait)


def put_in_a_pause_that_can_be_shortened(patch: pytest.MonkeyPatch) -> None:
    """The newest pause overwrites the one before."""

    def begin_pause(budget: LocalBudget, ticket: Ticket, at: float, seconds: float) -> bool:
        budget.pause.until = at + seconds
        return True

    patch.setattr(LocalBudget, "begin_pause", begin_pause)


def put_in_a_lost_slot(patch: pytest.MonkeyPatch) -> None:
    """A grant to somebody who is cancelled in that very turn is forgotten."""
    patch.setattr(Lane, "_give_up", lambda lane, waiter, bulk: None)


def put_in_wall_clock_time(patch: pytest.MonkeyPatch) -> None:
    """It is set back by an hour after a while."""
    readings = iter([7200.0] * 2)

    class Wall:
        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            self.create_future, self.call_at = loop.create_future, loop.call_at

        def time(self) -> float:
            return next(readings, 3600.0 + now())

    make = Lane.__init__

    def build(lane: Lane, budget: LocalBudget, loop: asyncio.AbstractEventLoop) -> None:
        make(lane, budget, Wall(loop))  # type: ignore[arg-type]

    patch.setattr(Lane, "__init__", build)


def put_in_no_reserve(patch: pytest.MonkeyPatch) -> None:
    """A job takes every slot that is free; interactive calls only go first in the queue behind it."""
    patch.setattr(reserve, "_compute_at_once", lambda limit: math.inf)
    patch.setattr(reserve, "follow_demand", lambda most, used: 0)


def put_in_a_reserve_without_spreading(patch: pytest.MonkeyPatch) -> None:
    """A job sends all that it may at once, and all of its slots come free together."""
    patch.setattr(Reserve, "_find_due", lambda reserve, interval, room: -math.inf)


def put_in_a_reserve_that_does_not_see_others(patch: pytest.MonkeyPatch) -> None:
    """What others use, in other processes, is taken again as soon as it is free."""
    put_in_no_reserve(patch)
    patch.setattr(Reserve, "count_kept", lambda *state: 0)


def put_in_spreading_of_those_who_were_overtaken(patch: pytest.MonkeyPatch) -> None:
    """Interactive calls take the slot of a bulk call whose turn it is, because the next is not due yet."""
    allows = LocalBudget._allows_bulk
    patch.setattr(
        LocalBudget, "_allows_bulk", lambda budget, at, in_use, overtaken: allows(budget, at, in_use, False)
    )


def put_in_slots_of_bulk_calls_that_are_never_returned(patch: pytest.MonkeyPatch) -> None:
    """What a cancelled bulk call took is counted for ever."""
    patch.setattr(Reserve, "finish", lambda reserve, stamp, at, interval: reserve.cooling.append(stamp))


Check = Callable[[], None]
MISTAKES: list[tuple[Callable[[pytest.MonkeyPatch], None], Check]] = [
    (put_in_a_leaky_bucket, check_windows),
    (put_in_stamping_at_sending, check_windows),
    (put_in_a_lock_over_the_wait, check_queue),
    (put_in_a_pause_that_can_be_shortened, check_pauses),
    (put_in_a_lost_slot, check_cancelled_waiters),
    (put_in_wall_clock_time, check_clock),
    (put_in_no_reserve, check_front_desk),
    (put_in_a_reserve_without_spreading, check_front_desk),
    (put_in_a_reserve_that_does_not_see_others, check_other_front_desk),
    (put_in_spreading_of_those_who_were_overtaken, check_overtaken),
    (put_in_slots_of_bulk_calls_that_are_never_returned, check_both_classes),
]


@pytest.mark.parametrize("check", dict.fromkeys(check for _, check in MISTAKES))
def test_the_code_as_it_is_passes(check: Check) -> None:
    """So a check that fails below fails for the mistake."""
    check()


@pytest.mark.parametrize(("mistake", "check"), MISTAKES, ids=lambda one: one.__name__)
def test_each_mistake_is_caught(
    monkeypatch: pytest.MonkeyPatch, mistake: Callable[[pytest.MonkeyPatch], None], check: Check
) -> None:
    """With the mistake in it, its check fails."""
    mistake(monkeypatch)
    with pytest.raises((AssertionError, TimeoutError)):
        check()
