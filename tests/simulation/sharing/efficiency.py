"""How much of the limit members use together, with how many exchanges, and how long people wait beside jobs."""

import math
import random
from collections.abc import Callable
from itertools import pairwise

from msgspec import Struct

from leadconnector_async._sharing.state import Limits

from ..windows import WINDOWS, Algorithm
from .world import Member, Network, World


class Bulk(Struct):
    """What became of the calls of several members."""

    refused: int
    """In 1,000 calls."""
    finish: float
    """As a part of the bound."""
    exchanges: float
    """For each call; those that lost a swap count again."""


def share_bulk(
    members: int, algorithm: Algorithm, seed: int = 0, *, calls: int = 1000, concurrency: int = 1000
) -> Bulk:
    """Members that start within a second, and share a job."""
    world = World(random.Random(seed), Limits(max_requests=100, interval=10.0), Network())
    _count_by(world, algorithm)
    for index in range(members):
        member = Member(world, f"m{index}", 0, concurrency=concurrency)
        many = calls // members + (index < calls % members)
        world.at(world.dice.uniform(0, 0.5), lambda member=member, many=many: member.call(bulk=True, many=many))
    ended: Callable[[], int] = lambda: sum(one.ended for one in world.members)  # noqa: E731
    world.run(4000.0, lambda: ended() >= calls)
    assert ended() == calls
    bound = (math.ceil(calls / (100 - 5)) - 1) * 10.0
    finish = max(one.finished_at for one in world.members)
    return Bulk(
        1000 * sum(one.refused for one in world.members) // calls,
        finish / bound,
        sum(one.exchanges for one in world.members) / calls,
    )


class People(Struct):
    """How long interactive calls waited beside a job, in seconds."""

    median: float
    p90: float
    p99: float
    longest: float
    job: float
    """When the job was finished, as a part of its bound."""
    reserve: float
    """In the mean of the job's time."""
    calls: int


def wait_beside_job(members: int, rate: float, algorithm: Algorithm, seed: int = 0, *, calls: int = 1000) -> People:
    """A front desk in a process of its own, beside members that share a job; in the same one if it is alone."""
    world = World(random.Random(seed), Limits(max_requests=100, interval=10.0), Network())
    _count_by(world, algorithm)
    jobs = [Member(world, f"m{index}", 0) for index in range(max(1, members - 1))]
    desk = jobs[0] if members == 1 else Member(world, "desk", 0)
    for index, member in enumerate(jobs):
        many = calls // len(jobs) + (index < calls % len(jobs))
        world.at(world.dice.uniform(0, 0.5), lambda member=member, many=many: member.call(bulk=True, many=many))
    reserves: list[tuple[float, int]] = []
    world.watch = lambda _report, grant, _content: reserves.append((world.now, grant.reserve))
    open_calls = [calls]

    def arrive() -> None:
        desk.call(bulk=False)
        open_calls[0] += 1
        if sum(one.ended for one in world.members) < open_calls[0] - 1:
            world.at(world.now + world.dice.expovariate(rate), arrive)

    world.at(1.0, arrive)
    world.run(4000.0, lambda: sum(one.ended for one in world.members) >= open_calls[0])
    finish = max(one.finished_at for one in jobs)
    spans = [(b[0] - a[0], a[1]) for a, b in pairwise(reserves) if b[0] <= finish]
    reserve = sum(span * value for span, value in spans) / max(1e-9, sum(span for span, _ in spans))
    bound = (math.ceil(calls / (100 - reserve)) - 1) * 10.0
    waits = sorted(desk.waits)
    return People(
        *(waits[int(len(waits) * part)] for part in (0.5, 0.9, 0.99)),
        waits[-1],
        finish / bound,
        reserve,
        len(waits),
    )


def _count_by(world: World, algorithm: Algorithm) -> None:
    window = WINDOWS[algorithm]()
    phase = world.dice.uniform(0, 10.0)

    def admit(now: float, _bulk: bool) -> float | None:
        most, interval = world.max_requests, world.limits.interval
        if window.admit(most, interval, now + phase):
            return None
        return max(interval * 0.1, window.compute_wait(most, interval, now + phase)) * world.dice.uniform(1, 1.05)

    world.admit = admit
