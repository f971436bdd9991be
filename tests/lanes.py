"""What the tests of the limiter do with a lane, on whichever loop they run."""

import asyncio

from leadconnector_async import RateLimit
from leadconnector_async._limiter.lane import Lane
from leadconnector_async._limiter.slots import Ticket


def make_lane(max_requests: int = 2, interval: float = 10.0) -> Lane:
    """A lane that has heard enough good answers to use all that it has."""
    lane = Lane(RateLimit(max_requests=max_requests, interval=interval), asyncio.get_running_loop())
    for _ in range(max_requests):
        lane.slots.pace.open(-1.0, interval)
    return lane


def take(lane: Lane, *, bulk: bool = False) -> Ticket:
    ticket = lane.try_take(bulk=bulk)
    assert ticket is not None
    return ticket


def now() -> float:
    return asyncio.get_running_loop().time()
