"""The known ways to get a limiter wrong: each is put in, and the check that guards against it must catch it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from leadconnector_async import RateLimit
from leadconnector_async._limiter.lane import Lane, Refused
from leadconnector_async._limiter.slots import Slots, Ticket

from ..lanes import make_lane, now, take
from .schedules import play
from .virtual import run


def check_windows() -> None:
    """Never more than N in T at the server."""
    assert sum(play(number, "fixed").refused for number in range(40)) == 0


def check_cancelled_waiters() -> None:
    """A waiter that is cancelled in the turn of its grant gives its slot back."""

    async def main() -> None:
        lane = make_lane(max_requests=1)
        ticket = take(lane)
        waiter = asyncio.create_task(lane.take())
        await asyncio.sleep(0)
        lane.free(ticket, left=False)
        waiter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiter
        assert lane.slots.in_flight == 0

    run(main())


def check_pauses() -> None:
    """A shorter pause does not end a longer one."""
    slots = Slots(5, 1.0)
    for _ in range(5):
        slots.pace.open(-1.0, 1.0)
    first = slots.take(0.0)
    assert first is not None
    slots.finish(first, 0.1, {"x-ratelimit-max": "5"}, success=False)
    slots.pause(first, 0.1, 60.0)
    late = Ticket(slots.sent + 1, 0.1, 0)
    slots.in_flight += 1
    slots.finish(late, 0.2, {}, success=False)
    slots.pause(late, 0.2, 1.0)
    assert slots.paused_until == 60.1


def check_queue() -> None:
    """One that waits does not hold up the rest: a limit that grows lets all go, and nobody is in the way."""

    async def main() -> None:
        lane = make_lane(max_requests=1)
        for _ in range(9):
            lane.slots.pace.open(now(), 10.0)
        lane.slots.limit.max_requests = 2
        lane.finish(take(lane), now(), {})
        under_way = take(lane)
        waiters = [asyncio.create_task(lane.take()) for _ in range(3)]
        await asyncio.sleep(1)
        lane.finish(under_way, now(), {"x-ratelimit-max": "9"})
        async with asyncio.timeout(1):
            await asyncio.gather(*waiters)

    run(main())


def check_clock() -> None:
    """The clock of the wall may be set back by an hour; the loop's never is."""

    async def main() -> None:
        lane = make_lane(max_requests=1)
        ticket = take(lane)
        lane.finish(ticket, lane._loop.time(), {})
        async with asyncio.timeout(60):
            await lane.take()

    run(main())


def put_in_a_leaky_bucket(patch: pytest.MonkeyPatch) -> None:
    """A slot comes back every T/N seconds: almost 2N get through in one window."""

    def cool(slots: Slots, at: float) -> None:
        gap = slots.limit.interval / slots.limit.max_requests
        last = getattr(cool, "last", {}).get(id(slots), at)
        while slots._cooling and last + gap <= at:
            slots._cooling.popleft()
            last += gap
        cool.__dict__.setdefault("last", {})[id(slots)] = last if slots._cooling else at

    patch.setattr(Slots, "_cool", cool)


def put_in_stamping_at_sending(patch: pytest.MonkeyPatch) -> None:
    """The server may count a request as late as its answer."""
    finish = Slots.finish

    def stamp(slots: Slots, ticket: Ticket, answered_at: float, headers: Any, **more: bool) -> None:
        finish(slots, ticket, answered_at, headers, **more)
        slots._cooling[-1] = (ticket.sent_at, ticket.sent_at)
        slots._cooling = deque(sorted(slots._cooling))

    patch.setattr(Slots, "finish", stamp)


def put_in_a_lock_over_the_wait(patch: pytest.MonkeyPatch) -> None:
    """Whoever waits sleeps out a time that he has worked out, and all others queue at his lock."""
    locks: dict[int, asyncio.Lock] = {}

    async def wait(lane: Lane, *, bulk: bool = False, deadline: float | None = None) -> Ticket | Refused:
        async with locks.setdefault(id(lane), asyncio.Lock()):
            while (ticket := lane._take(now())) is None:
                await asyncio.sleep((lane.slots.compute_next(now()) or now() + 1) - now())
            return ticket

    patch.setattr(Lane, "take", wait)


def put_in_a_pause_that_can_be_shortened(patch: pytest.MonkeyPatch) -> None:
    """The newest pause overwrites the one before."""

    def pause(slots: Slots, ticket: Ticket, at: float, seconds: float) -> bool:
        slots.paused_until = at + seconds
        return True

    patch.setattr(Slots, "pause", pause)


def put_in_a_lost_slot(patch: pytest.MonkeyPatch) -> None:
    """A grant to somebody who is cancelled in that very turn is forgotten."""
    patch.setattr(Lane, "_give_up", lambda lane, queue, waiter: None)


def put_in_the_clock_of_the_wall(patch: pytest.MonkeyPatch) -> None:
    """It is set back by an hour after a while."""
    readings = iter([7200.0] * 2)

    class Wall:
        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            self.create_future, self.call_at = loop.create_future, loop.call_at

        def time(self) -> float:
            return next(readings, 3600.0 + now())

    make = Lane.__init__

    def build(lane: Lane, limit: RateLimit, loop: asyncio.AbstractEventLoop) -> None:
        make(lane, limit, Wall(loop))  # type: ignore[arg-type]

    patch.setattr(Lane, "__init__", build)


Check = Callable[[], None]
MISTAKES: list[tuple[Callable[[pytest.MonkeyPatch], None], Check]] = [
    (put_in_a_leaky_bucket, check_windows),
    (put_in_stamping_at_sending, check_windows),
    (put_in_a_lock_over_the_wait, check_queue),
    (put_in_a_pause_that_can_be_shortened, check_pauses),
    (put_in_a_lost_slot, check_cancelled_waiters),
    (put_in_the_clock_of_the_wall, check_clock),
]


@pytest.mark.parametrize("check", [check_windows, check_queue, check_pauses, check_cancelled_waiters, check_clock])
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
