"""Waiting for a slot, in virtual time."""

import asyncio

import pytest

from leadconnector_async import RateLimit
from leadconnector_async._limiter.headers import LocationQuota
from leadconnector_async._limiter.lane import Lane
from leadconnector_async._limiter.limiter import Limiter
from leadconnector_async._limiter.pause import Pause
from leadconnector_async._limiter.slots import LocalBudget, Refused, Ticket

from ..lanes import budget_of, make_lane, now, take

pytestmark = pytest.mark.looptime(start=0)


async def wait(lane: Lane, *, bulk: bool = False) -> Ticket:
    ticket = await lane.take(bulk=bulk)
    assert isinstance(ticket, Ticket)
    return ticket


async def test_waiters_are_served_in_the_order_of_their_coming() -> None:
    """First come, first served, two at a time."""
    lane, served = make_lane(), []

    async def work(name: int) -> None:
        ticket = lane.try_take() or await wait(lane)
        served.append((name, now()))
        lane.finish(ticket, now(), {})

    await asyncio.gather(*(work(name) for name in range(5)))
    assert served == [(0, 0.0), (1, 0.0), (2, 10.0), (3, 10.0), (4, 20.0)]


async def test_nobody_overtakes_those_who_wait() -> None:
    """A slot that is free belongs to the first in the queue."""
    lane = make_lane(max_requests=1)
    ticket = take(lane)
    waiter = asyncio.create_task(lane.take())
    await asyncio.sleep(0)
    lane.free(ticket, sent=False)
    assert not lane.try_take()
    await waiter


async def test_interactive_calls_go_before_bulk_calls_but_not_for_ever() -> None:
    """After four in a row, a bulk call that waits is the next."""
    lane, served = make_lane(max_requests=1, interval=1.0), []

    async def work(name: str, *, bulk: bool) -> None:
        lane.finish(await wait(lane, bulk=bulk), now(), {})
        served.append(name)

    first = take(lane)
    jobs = [work("bulk", bulk=True), work("bulk", bulk=True), *(work("now", bulk=False) for _ in range(6))]
    tasks = [asyncio.create_task(job) for job in jobs]
    await asyncio.sleep(0)
    lane.finish(first, now(), {})
    await asyncio.gather(*tasks)
    assert served == ["now", "now", "now", "now", "bulk", "now", "now", "bulk"]


async def test_a_cancelled_waiter_leaves_the_queue_to_the_others() -> None:
    """The next in line gets the slot, at the same moment."""
    lane = make_lane(max_requests=1)
    lane.finish(take(lane), now(), {})
    first, second = asyncio.create_task(lane.take()), asyncio.create_task(lane.take())
    await asyncio.sleep(5)
    first.cancel()
    await second
    assert now() == 10.0
    assert first.cancelled()


async def test_a_waiter_cancelled_in_the_turn_of_its_grant_gives_its_slot_back() -> None:
    """The slot is not lost."""
    lane = make_lane(max_requests=1)
    ticket = take(lane)
    waiter = asyncio.create_task(lane.take())
    await asyncio.sleep(0)
    lane.free(ticket, sent=False)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert lane.try_take()
    assert lane.waiting == 0


async def test_a_pause_stops_the_whole_lane_and_one_is_told_of_its_end() -> None:
    """Nothing is handed out before it is over; then one goes ahead alone."""
    lane = make_lane()
    ticket = take(lane)
    seconds = lane.refuse(ticket, now(), {}, 30.0)
    assert seconds is not None
    assert 30.0 <= seconds <= 31.5
    assert (lane.budget.pause.claim_end(now()), lane.describe().paused_seconds) == (None, seconds)
    assert (lane.describe().pause_reason or "").endswith("(429)")
    probe, other = asyncio.create_task(wait(lane)), asyncio.create_task(wait(lane))
    await asyncio.sleep(32)
    assert (probe.done(), other.done()) == (True, False)
    assert (lane.budget.pause.claim_end(now()), lane.budget.pause.claim_end(now())) == (
        pytest.approx(seconds),
        None,
    )
    lane.finish(await probe, now(), {})
    await other
    assert lane.describe().pause_reason is None


async def test_a_limit_that_grows_lets_the_waiters_go_at_once() -> None:
    """The headers of one answer are enough."""
    lane = make_lane(max_requests=1)
    for _ in range(3):
        budget_of(lane).window.grow(-1.0, 10.0)
    ticket = take(lane)
    waiters = [asyncio.create_task(lane.take()) for _ in range(3)]
    await asyncio.sleep(1)
    lane.finish(ticket, now(), {"x-ratelimit-max": "4"})
    await asyncio.gather(*waiters)
    assert now() == 1.0


async def test_a_wait_that_would_pass_the_deadline_is_refused_before_it_begins() -> None:
    """It says when a slot would have been free, and takes nobody's place."""
    lane = make_lane(max_requests=1)
    lane.finish(take(lane), now(), {})
    assert await lane.take(deadline=9.9) == Refused("deadline", 10.0)
    assert now() == 0.0
    assert isinstance(await lane.take(deadline=10.1), Ticket)


async def test_a_bulk_call_counts_on_those_only_who_can_overtake_it() -> None:
    """A thousand interactive calls wait; four of them go before the first bulk call."""
    lane = make_lane(max_requests=5)
    for ticket in [take(lane) for _ in range(5)]:
        lane.finish(ticket, now(), {})
    others = [asyncio.create_task(lane.take()) for _ in range(1000)]
    await asyncio.sleep(0)
    assert isinstance(await lane.take(bulk=True, deadline=11.0), Ticket)
    for other in others:
        other.cancel()


async def test_a_refusal_pauses_before_anybody_else_goes() -> None:
    """The slot that its answer frees is not handed out."""
    lane = Lane(LocalBudget(RateLimit(max_requests=10)), asyncio.get_running_loop())
    first = take(lane)
    waiter = asyncio.create_task(wait(lane))
    await asyncio.sleep(0)
    lane.refuse(first, now(), {"x-ratelimit-max": "10"}, 5.0)
    await asyncio.sleep(4.9)
    assert not waiter.done()
    await waiter
    assert 5.0 <= now() <= 5.25
    assert not lane.try_take()


@pytest.mark.parametrize(("hint", "least"), [(None, 2.0), (0.0, 0.2), (7.0, 7.0)])
async def test_a_pause_is_as_long_as_the_server_asks_or_one_interval(hint: float | None, least: float) -> None:
    """The interval that this very answer states; a hint of nothing is a tenth of it, and chance only adds."""
    lane = make_lane()
    headers = {"x-ratelimit-max": "10", "x-ratelimit-interval-milliseconds": "2000"}
    seconds = lane.refuse(take(lane), now(), headers, hint)
    assert seconds is not None
    assert least <= seconds <= 1.05 * least


async def test_a_waiter_that_is_closed_is_forgotten() -> None:
    """Not only a cancellation can end a wait."""
    lane = make_lane(max_requests=1)
    ticket = take(lane)
    waiting = lane.take()
    waiting.send(None)
    waiting.close()
    lane.free(ticket, sent=False)
    assert (lane.waiting, budget_of(lane).slots.in_flight) == (0, 0)


async def test_when_the_day_is_spent_nobody_waits_for_hours() -> None:
    """Neither who comes then nor who waited already; the reserve is kept from bulk calls only."""
    limit = RateLimit(max_requests=10, daily=3, daily_reserve=1)
    lane = Lane(LocalBudget(limit), asyncio.get_running_loop())
    first = take(lane, bulk=True)
    waiters = [asyncio.create_task(lane.take(bulk=bulk)) for bulk in (True, True, False)]
    await asyncio.sleep(1)
    lane.finish(first, now(), {})
    ends = await asyncio.gather(*waiters)
    assert [type(end) for end in ends] == [Refused, Refused, Ticket]
    assert ends[0] == Refused("daily", 86_399.0)
    assert lane.try_take(bulk=True) is None
    assert lane.describe().daily_remaining == 1


async def test_the_state_is_told_to_users() -> None:
    """Limit, what is left, who waits; starting values for a location that was never used."""
    loop, limiter = asyncio.get_running_loop(), Limiter(RateLimit(max_requests=2))
    fresh = limiter.describe("l")
    assert (fresh.limit, fresh.remaining, fresh.waiting, fresh.daily_reset) == (2, 2, 0, None)
    lane = limiter.find_lane("l", loop)
    take(lane)
    waiter = asyncio.create_task(lane.take())
    await asyncio.sleep(0)
    state = limiter.describe("l")
    assert (state.remaining, state.in_flight, state.waiting, state.mode) == (1, 1, 1, "burst")
    waiter.cancel()


async def test_an_idle_location_is_not_delayed_by_a_busy_one() -> None:
    """Each location has a lane of its own, and always the same."""
    loop, limiter = asyncio.get_running_loop(), Limiter(RateLimit(max_requests=1))
    busy = limiter.find_lane("busy", loop)
    assert busy.try_take()
    assert not busy.try_take()
    assert limiter.find_lane("idle", loop).try_take()
    assert limiter.find_lane("busy", loop) is busy


async def test_idle_locations_are_forgotten() -> None:
    """Ten thousand of them, one after the other, leave no more behind than are in use."""
    loop, limiter = asyncio.get_running_loop(), Limiter(RateLimit(interval=1.0))
    daily = {"x-ratelimit-daily-remaining": "100"}
    for number in range(10_000):
        lane = limiter.find_lane(str(number), loop)
        lane.finish(take(lane), now(), daily)
        await asyncio.sleep(0.1)
    assert len(limiter.lanes) < 100


@pytest.mark.parametrize("latency", [0.001, 0.3, 4.0])
async def test_a_thousand_requests_stay_within_the_limit_and_near_the_bound(latency: float) -> None:
    """100 in 10 s: never more than 100 in any 10 s at the server, done near the bound of 90 s."""
    lane, arrivals = make_lane(100, 10.0), []

    async def work() -> None:
        ticket = lane.try_take() or await wait(lane)
        await asyncio.sleep(latency / 2)
        arrivals.append(now())
        await asyncio.sleep(latency / 2)
        lane.finish(ticket, now(), {})

    await asyncio.gather(*(work() for _ in range(1000)))
    assert all(later - first >= 10.0 - 1e-9 for first, later in zip(arrivals, arrivals[100:], strict=False))
    assert now() <= 90.0 + 10 * latency + 1e-6


class LeasedBudget:
    """Slots that come from elsewhere, a few at a time, as from a store that processes share."""

    def __init__(self) -> None:
        self.pause, self.leased, self.sent, self.ends = Pause(), 0, 0, list[str]()

    def take(self, now: float, *, bulk: bool = False, overtaken: bool = False) -> Ticket | None:
        if not self.leased:
            return None
        self.leased, self.sent = self.leased - 1, self.sent + 1
        return Ticket(self.sent, now, 0)

    def compute_next(self, now: float, *, bulk: bool = False) -> float | None:
        return None

    def check_day(self, now: float, *, bulk: bool) -> Refused | None:
        return None

    def compute_wait(self, now: float, ahead: int, bulk_ahead: int | None = None) -> float:
        return 3.0 * (ahead + 1)

    def finish(self, ticket: Ticket, answered_at: float, headers: object, *, success: bool = True) -> None:
        self.ends.append("finished")

    def refuse(
        self, ticket: Ticket, answered_at: float, headers: object, now: float, retry_after: float | None
    ) -> float | None:
        self.ends.append("refused")
        return retry_after

    def free(self, ticket: Ticket, now: float, *, sent: bool) -> None:
        self.ends.append("sent" if sent else "never sent")

    def describe(self, now: float, waiting: int) -> LocationQuota:
        return LocationQuota(limit=1, interval=1.0, remaining=self.leased, daily_limit=1, daily_remaining=1)

    def is_idle(self, now: float) -> bool:
        return True


async def test_a_lane_takes_its_slots_from_any_budget() -> None:
    """It waits until the budget has got new slots and says so, and returns each slot to it once."""
    budget = LeasedBudget()
    lane = Lane(budget, asyncio.get_running_loop())
    assert await lane.take(deadline=2.9) == Refused("deadline", 3.0)
    waiters = [asyncio.create_task(wait(lane, bulk=bulk)) for bulk in (True, False, False, False)]
    await asyncio.sleep(1)
    budget.leased = 2
    lane.hand_out()
    await asyncio.sleep(0)
    assert [waiter.done() for waiter in waiters] == [False, True, True, False]
    first, second = await waiters[1], await waiters[2]
    budget.leased = 2
    lane.finish(first, now(), {})
    third, fourth = await waiters[3], await waiters[0]
    assert lane.refuse(second, now(), {}, 7.0) == 7.0
    lane.free(third, sent=True)
    lane.free(fourth, sent=False)
    assert budget.ends == ["finished", "refused", "sent", "never sent"]
