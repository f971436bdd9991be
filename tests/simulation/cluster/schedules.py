"""Random schedules: one seed decides what goes wrong, when, and in which order everything happens."""

import asyncio
import random
from collections.abc import Callable
from unittest import mock

from msgspec import Struct

from leadconnector_async.jobs import supervisor
from leadconnector_async.jobs.journal import leases

from .processes import Process, ProcessLoop
from .world import World, wall_clock

QUIET = 90.0
"""Seconds after the last fault by which everything must have ended."""


class Played(Struct):
    """What became of a schedule."""

    seed: int
    seconds: float
    """In virtual time."""
    faults: tuple[str, ...]
    """What went wrong, by the names in `FAULTS`."""
    takes: int
    """How often a location was taken."""
    story: tuple[str, ...]
    """What went wrong, and what workers have reported."""
    broken: tuple[str, ...]
    """The laws that did not hold."""


class Schedule:
    """What goes wrong in one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.faults: list[str] = []
        self.ends_at = float("inf")
        self._ambushes: dict[tuple[Process, str], float] = {}
        world.database.on_change = self.notice
        self.tasks: list[asyncio.Task[None]] = []
        self._alive: dict[Process, asyncio.Event] = {}
        """Each with what tells it to end."""
        self._started = 0

    def start_worker(self) -> None:
        """One more process, whose clock is a little fast or slow."""
        self._started += 1
        process = Process(f"worker {self._started}", self.world.dice.uniform(0.955, 1.045))
        self.world.processes.append(process)
        stopping = self._alive[process] = asyncio.Event()
        self.tasks.append(process.start(self.world.work(process, stopping), self.world.loop))

    async def play(self) -> None:
        """A fault every now and then, as long as there is something to do."""
        world, dice = self.world, self.world.dice
        for _ in range(dice.choice((2, 3, 3, 4))):
            self.start_worker()
        for _ in range(dice.randrange(1, 12)):
            await asyncio.sleep(dice.expovariate(1 / world.lease) * dice.choice((0.1, 0.7)))
            fault = dice.choice(FAULTS)
            self.faults.append(fault.__name__)
            world.events.append(f"{world.loop.time():.3f} {fault(self)}")
        self.ends_at = world.loop.time() + QUIET + 10 * world.lease

    def _choose(self) -> Process:
        """More often one that works than one that has nothing to do."""
        busy = [one for one in self.world.list_owners() if one in self._alive]
        chosen = busy if busy and self.world.dice.random() < 0.8 else list(self._alive)
        return self.world.dice.choice(chosen)

    def _later(self, seconds: float, do: Callable[[], object]) -> None:
        self.world.loop.call_later(seconds, do)

    def kill(self) -> str:
        process = self._choose()
        self._kill(process)
        return f"{process} is killed"

    def _kill(self, process: Process) -> None:
        process.kill()
        del self._alive[process]
        self._later(self.world.dice.uniform(0.1, self.world.lease), self.start_worker)
        if not self._alive:
            self.start_worker()

    def stop(self) -> str:
        """As by SIGTERM."""
        process = self._choose()
        self._alive.pop(process).set()
        self._later(self.world.dice.uniform(0.1, self.world.lease), self.start_worker)
        if not self._alive:
            self.start_worker()
        return f"{process} is told to end"

    def pause(self) -> str:
        """The job."""
        journal, seconds = self.world.database.journal, self.world.dice.uniform(0.2, 2) * self.world.lease
        journal.write("UPDATE jobs SET wanted = 'pause'")
        self._later(seconds, lambda: journal.write("UPDATE jobs SET wanted = 'run'"))
        return f"the job is paused for {seconds:.3f} s"

    def ambush(self) -> str:
        """A process is frozen or killed right after a statement of its, before it learns what that has done."""
        process, dice = self._choose(), self.world.dice
        name = dice.choice(list(POINTS))
        seconds = 0.0 if dice.random() < 0.3 else self.world.lease * dice.uniform(0.4, 2)
        self._ambushes[process, POINTS[name]] = seconds
        return f"{process} is {f'frozen for {seconds:.3f} s' if seconds else 'killed'} after its next {name}"

    def notice(self, process: Process, statement: str) -> None:
        """A statement of a process has changed something."""
        seconds = self._ambushes.pop((process, statement), None)
        if seconds is None or process not in self._alive:
            return
        if seconds:
            process.freeze()
            self._later(seconds, process.thaw)
            cut = self.world.loop.time() + seconds + self.world.lease * self.world.dice.uniform(0, 0.4)
            for one in [one for one in self.world.connections if one.process is process][-2:-1]:
                one.cut_until = cut
        else:
            self._kill(process)

    def freeze(self) -> str:
        process = self._choose()
        seconds = (
            self.world.lease
            * self.world.dice.choice((0.3, 0.8, 0.95, 1.1, 1.5, 3.0))
            * self.world.dice.uniform(0.9, 1.1)
        )
        process.freeze()
        self._later(seconds, process.thaw)
        return f"{process} is frozen for {seconds:.3f} s"

    def cut(self) -> str:
        """Of one process, one of its connections or all."""
        process = self._choose()
        dice, now = self.world.dice, self.world.loop.time()
        mine = [one for one in self.world.connections if one.process is process][-2:]
        chosen = mine if dice.random() < 0.3 else mine[:1]
        seconds = self.world.lease * dice.uniform(0.1, 1.5)
        for one in chosen:
            one.cut_until = now + seconds
        return f"{process} is cut off from the database for {seconds:.3f} s ({len(chosen)} connections)"

    def flap(self) -> str:
        """The control connection is cut again and again, for moments that no timeout notices."""
        process = self._choose()
        dice = self.world.dice
        mine = [one for one in self.world.connections if one.process is process][-2:]
        at, ends = 0.0, 3 * self.world.lease
        while at < ends:
            seconds = self.world.lease * dice.uniform(0.2, 0.49)
            for one in mine[:1]:
                self._later(
                    at, lambda one=one, seconds=seconds: setattr(one, "cut_until", self.world.loop.time() + seconds)
                )
            at += seconds + dice.uniform(0, 0.02)
        return f"{process} reaches the database only now and then for {ends:.3f} s"

    def database_away(self) -> str:
        database, seconds = self.world.database, self.world.dice.uniform(0.2, 2) * self.world.lease
        database.is_away = True
        self._later(seconds, lambda: setattr(database, "is_away", False))
        return f"the database is away for {seconds:.3f} s"

    def lose_responses(self) -> str:
        database, seconds = self.world.database, self.world.dice.uniform(0.2, 2)
        database.lose = 0.1
        self._later(seconds, lambda: setattr(database, "lose", 0.0))
        return f"one response in ten of the database is lost for {seconds:.3f} s"

    def spoil_tickets(self) -> str:
        engine, seconds = self.world.engine, self.world.dice.uniform(0.2, 2) * self.world.lease
        engine.lose, engine.double = self.world.dice.choice(((1.0, 0.0), (0.0, 1.0), (0.5, 0.5)))
        engine.waiting *= self.world.dice.choice((0, 2))
        self._later(seconds, lambda: setattr(engine, "lose", 0.0))
        self._later(seconds, lambda: setattr(engine, "double", 0.0))
        return f"tickets are lost ({engine.lose:.0%}) or doubled ({engine.double:.0%}) for {seconds:.3f} s"


POINTS = {
    "beat": leases._BEAT,
    "take": leases._TAKE,
    "commit": "commit",
    "burial": leases._BURY,
    "release of what the dead held": leases._FREE,
}
"""After which statements a process can be met."""
FAULTS: tuple[Callable[[Schedule], str], ...] = (
    Schedule.kill,
    Schedule.ambush,
    Schedule.ambush,
    Schedule.stop,
    Schedule.pause,
    Schedule.freeze,
    Schedule.freeze,
    Schedule.cut,
    Schedule.flap,
    Schedule.database_away,
    Schedule.lose_responses,
    Schedule.spoil_tickets,
)


async def _play(seed: int) -> Played:
    dice = random.Random(seed)
    loop = asyncio.get_running_loop()
    with wall_clock(loop):
        sizes = [dice.choice((2, 10, 30, 60)) for _ in range(dice.randrange(1, 5))]
        world = World(dice, sizes, lease=dice.choice((2.0, 6.0)), concurrency=dice.choice((1, 2, 4)))
        world.calendar.delay = 0.05 * world.lease
        schedule = Schedule(world)
        seen = mock.patch.object(supervisor, "begin_lease", world.begin_lease)
        seen.start()
        try:
            world.fill()
            faults = asyncio.ensure_future(schedule.play())
            while not world.is_finished():
                await asyncio.sleep(0.5)
                if faults.done() and loop.time() > schedule.ends_at:
                    break
            faults.cancel()
            for task in schedule.tasks:
                if task.done() and not task.cancelled():
                    task.result()
            world.check()
            story = tuple(world.events)
            return Played(seed, loop.time(), tuple(schedule.faults), world.takes, story, tuple(world.broken))
        finally:
            seen.stop()
            await world.end()


def play(seed: int) -> Played:
    """Play the schedule of a seed."""
    with asyncio.Runner(loop_factory=ProcessLoop) as runner:
        return runner.run(_play(seed))
