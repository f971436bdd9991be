"""A front desk in a process of its own, beside three jobs: it waits neither at the start nor after a loss."""

import random

from leadconnector_async._sharing.state import Limits

from .world import Member, Network, World

LIMITS = Limits(max_requests=100, interval=2.0)
EVERY = 0.2
"""One call after the other: ten in a window, if none has to wait."""


class Desk:
    """Begins a call a fifth of a second after the one before, or when that one has been sent."""

    def __init__(self, world: World) -> None:
        self.world, self.member = world, Member(world, "desk", 9)
        self.waits: list[tuple[float, float]] = []
        """When each call began, and how long it waited."""

    def call(self) -> None:
        began, sent = self.world.now, len(self.member.waits)
        self.member.call(bulk=False)

        def look() -> None:
            if len(self.member.waits) == sent:
                self.world.at(self.world.now + 0.01, look)
                return
            self.waits.append((began, self.member.waits[-1]))
            self.world.at(max(self.world.now, began + EVERY), self.call)

        look()

    def rank(self, begin: float, end: float, part: float) -> float:
        """The wait that this part of the calls did not exceed."""
        waits = sorted(wait for began, wait in self.waits if begin <= began < end)
        return waits[int(part * (len(waits) - 1))]


def build(seed: int) -> tuple[World, Desk, list[Member]]:
    world = World(random.Random(seed), LIMITS, Network())
    jobs = [Member(world, f"m{index}", index, concurrency=100) for index in range(3)]
    for job in jobs:
        world.at(world.dice.uniform(0, 0.3), lambda job=job: job.call(bulk=True, many=100_000))
    desk = Desk(world)
    world.at(0.05, desk.call)
    return world, desk, jobs


def test_a_front_desk_that_starts_with_the_jobs_does_not_wait_for_a_window() -> None:
    """Shares are promised of what is free beside the reserve: what is kept for a job takes nothing from people."""
    for seed in range(3):
        world, desk, _ = build(seed)
        world.run(6.0)
        assert desk.rank(0.0, 5.5, 1.0) < EVERY


def test_a_front_desk_does_not_wait_while_a_share_is_kept_for_a_process_that_is_lost() -> None:
    """The reserve is left beside what is kept: here for a job that was killed before the store forgot it."""
    for seed in range(3):
        world, desk, jobs = build(seed)
        world.at(7.3, jobs[2].kill)
        world.at(14.0, lambda world=world: setattr(world.store, "up", False))
        world.at(19.0, lambda world=world: world.store.restart(None))
        world.run(40.0)
        assert desk.rank(24.0, 39.0, 0.9) < EVERY
