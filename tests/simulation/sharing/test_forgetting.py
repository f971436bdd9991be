"""A store that was restarted empty: what its members held counts until it has expired, and no longer."""

import random
from collections import Counter

from leadconnector_async._sharing.state import Limits

from .world import Member, Network, World

LIMITS = Limits(max_requests=100, interval=2.0)
WINDOWS = 12
BACK_AT = 15.0
WAIT = 4.0
"""Hold and interval."""


def test_the_whole_limit_is_used_again_after_the_store_has_forgotten_everything() -> None:
    """Once all members have returned, no share is kept for others: bulk calls get all but the reserve again."""
    world = World(random.Random(1), LIMITS, Network())
    for index in range(4):
        member = Member(world, f"m{index}", 0, concurrency=100)
        world.at(world.dice.uniform(0, 0.3), lambda member=member: member.call(bulk=True, many=100_000))

    def lose() -> None:
        world.store.up = False

    world.at(10.0, lose)
    world.at(BACK_AT, lambda: world.store.restart(None))
    first = BACK_AT + WAIT
    world.run(first + WINDOWS * LIMITS.interval)
    counted = Counter(int((at - first) // LIMITS.interval) for at, _, _ in world.counted if at >= first)
    assert sum(counted.values()) >= 0.8 * WINDOWS * 95, counted
