"""What the tests of the limiter do with a lane, on whichever loop they run."""

import asyncio

from leadconnector_async import RateLimit
from leadconnector_async._limiter.lane import Lane
from leadconnector_async._limiter.slots import LocalBudget, Ticket


def make_lane(max_requests: int = 2, interval: float = 10.0) -> Lane:
    """A lane that has seen enough successes to use all that it has."""
    lane = Lane(LocalBudget(RateLimit(max_requests=max_requests, interval=interval)), asyncio.get_running_loop())
    for _ in range(max_requests):
        budget_of(lane).window.grow(-1.0, interval)
    return lane


def budget_of(lane: Lane) -> LocalBudget:
    assert isinstance(lane.budget, LocalBudget)
    return lane.budget


def take(lane: Lane, *, bulk: bool = False) -> Ticket:
    ticket = lane.try_take(bulk=bulk)
    assert ticket is not None
    return ticket


def now() -> float:
    return asyncio.get_running_loop().time()
