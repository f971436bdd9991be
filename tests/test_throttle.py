"""Waiting for a slot, in virtual time."""

import asyncio

import pytest

from leadconnector_async import RateLimit
from leadconnector_async._throttle import Lane, Throttle

pytestmark = pytest.mark.looptime(start=0)


def make_lane(max_requests: int = 2, interval: float = 10.0) -> Lane:
    lane = Lane(RateLimit(max_requests=max_requests, interval=interval), asyncio.get_running_loop())
    lane.slots.learn({})
    return lane


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_waiters_are_served_in_the_order_of_their_coming() -> None:
    """First come, first served, two at a time."""
    lane, served = make_lane(), []

    async def work(name: int) -> None:
        if not lane.try_take():
            await lane.take()
        served.append((name, now()))
        lane.finish(now(), {})

    await asyncio.gather(*(work(name) for name in range(5)))
    assert served == [(0, 0.0), (1, 0.0), (2, 10.0), (3, 10.0), (4, 20.0)]


async def test_nobody_overtakes_those_who_wait() -> None:
    """A slot that is free belongs to the first in the queue."""
    lane = make_lane(max_requests=1)
    assert lane.try_take()
    waiter = asyncio.create_task(lane.take())
    await asyncio.sleep(0)
    lane.free(left=False)
    assert not lane.try_take()
    await waiter


async def test_a_cancelled_waiter_leaves_the_queue_to_the_others() -> None:
    """The next in line gets the slot, at the same moment."""
    lane = make_lane(max_requests=1)
    assert lane.try_take()
    lane.finish(now(), {})
    first, second = asyncio.create_task(lane.take()), asyncio.create_task(lane.take())
    await asyncio.sleep(5)
    first.cancel()
    await second
    assert now() == 10.0
    assert first.cancelled()


async def test_a_waiter_cancelled_in_the_turn_of_its_grant_gives_its_slot_back() -> None:
    """The slot is not lost."""
    lane = make_lane(max_requests=1)
    assert lane.try_take()
    waiter = asyncio.create_task(lane.take())
    await asyncio.sleep(0)
    lane.free(left=False)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert lane.try_take()


async def test_a_pause_stops_the_whole_lane_and_one_is_told_of_its_end() -> None:
    """Nothing is handed out before it is over."""
    lane = make_lane()
    assert lane.try_take()
    lane.finish(now(), {})
    assert lane.pause(30.0, sent_at=0.0)
    assert lane.claim_resumption() is None
    await asyncio.gather(lane.take(), lane.take())
    assert now() == 30.0
    assert (lane.claim_resumption(), lane.claim_resumption()) == (30.0, None)


async def test_a_limit_that_grows_lets_the_waiters_go_at_once() -> None:
    """The headers of one answer are enough."""
    lane = make_lane(max_requests=1)
    assert lane.try_take()
    waiters = [asyncio.create_task(lane.take()) for _ in range(3)]
    await asyncio.sleep(1)
    lane.finish(now(), {"x-ratelimit-max": "4"})
    await asyncio.gather(*waiters)
    assert now() == 1.0


async def test_an_idle_location_is_not_delayed_by_a_busy_one() -> None:
    """Each location has a lane of its own, and always the same."""
    loop, throttle = asyncio.get_running_loop(), Throttle(RateLimit(max_requests=1))
    busy = throttle.find_lane("busy", loop)
    assert busy.try_take()
    assert not busy.try_take()
    assert throttle.find_lane("idle", loop).try_take()
    assert throttle.find_lane("busy", loop) is busy


@pytest.mark.parametrize("latency", [0.001, 0.3, 4.0])
async def test_a_thousand_requests_stay_within_the_limit_and_near_the_bound(latency: float) -> None:
    """100 in 10 s: never more than 100 in any 10 s at the server, done near the bound of 90 s."""
    lane, arrivals = make_lane(100, 10.0), []

    async def work() -> None:
        if not lane.try_take():
            await lane.take()
        await asyncio.sleep(latency / 2)
        arrivals.append(now())
        await asyncio.sleep(latency / 2)
        lane.finish(now(), {})

    await asyncio.gather(*(work() for _ in range(1000)))
    assert all(later - first >= 10.0 - 1e-9 for first, later in zip(arrivals, arrivals[100:], strict=False))
    assert now() <= 90.0 + 10 * latency + 1e-6
