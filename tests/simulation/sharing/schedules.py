"""Random schedules: everything goes wrong at random, and the laws must hold. One number drives all of it."""

import math
import random
from collections.abc import Callable

from msgspec import Struct

from leadconnector_async._sharing import exchange as exchanging
from leadconnector_async._sharing.slots import tally
from leadconnector_async._sharing.state import PROMISE_SECONDS, Grant, Limits, Report, decode
from leadconnector_async._sharing.store import Reading

from .world import Member, Network, World

KINDS = ("calm", "lossy", "kills", "freezes", "store", "clock", "cut", "limits", "crowd", "slow", "all")
_ROUNDING = 1e-6


class Played(Struct):
    """What became of a schedule."""

    number: int
    kind: str
    sent: int
    exchanges: int
    broken: list[str] = []
    """The laws that it broke, and how."""


class Schedule:
    """One run of a few members and everything that disturbs them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.dice = dice = random.Random(number)
        self.kind = kind = KINDS[number % len(KINDS)]
        most = dice.choice([1, 2, 3, 5] if kind == "crowd" else [1, 2, 3, 5, 10, 20, 40])
        self.interval = dice.choice([1.0, 2.0, 4.0])
        reserve = dice.choice([None, None, None, 0, most // 2])
        self.limits = Limits(most, self.interval, reserve, hold=dice.choice([0.5, 1.0, 2.0]))
        network = Network(
            loss=dice.choice([0.02, 0.2, 0.5]) if self.has("lossy") else 0.0,
            delay=(0.0001, dice.choice([0.001, 0.02])),
            latency=(0.01, dice.choice([0.05, 0.3])),
            write=dice.choice([0.002, 0.02, self.limits.hold]),
            slow=0.2 if kind == "slow" else 0.0,
            timeout=self.limits.hold / 2,
        )
        self.world = World(dice, self.limits, network)
        self.span = 8 * self.interval
        self.broken: list[str] = []
        self.granted_while_held = 0

    def has(self, kind: str) -> bool:
        """Whether this schedule is disturbed so. A store that forgets a limit cannot tell it to a new member."""
        if self.kind != "all":
            return self.kind == kind
        return kind in ("limits", "cut", "freezes") if self.number % 2 else kind != "limits"

    def play(self) -> Played:
        world, dice = self.world, self.dice
        world.watch = self._watch
        many = dice.randint(1, 6)
        if self.kind == "crowd":
            many = self.limits.max_requests + dice.randint(1, 4)
        for index in range(many):
            self._join(index, dice.uniform(0, self.interval) if index else 0.0)
        self._disturb()
        world.run(self.span)
        self._end_disturbances()
        self._check_progress()
        self._check_windows()
        self._check_slots_come_back()
        return Played(
            self.number,
            self.kind,
            len(world.counted),
            sum(one.exchanges for one in world.members),
            self.broken,
        )

    def _join(self, index: int, when: float) -> None:
        """A member, and its calls until the end."""
        world, dice = self.world, self.dice
        machine = dice.randint(0, 2)
        concurrency = dice.choice([2, 10, 1000])
        bulk, desk = dice.random() < 0.7, dice.random() < 0.5
        jobs = dice.randint(1, 3)
        rate = dice.uniform(0.05, 0.2) * self.limits.max_requests / self.interval

        def join() -> None:
            member = Member(world, f"m{index}", machine, concurrency=concurrency)
            for _ in range(jobs if bulk else 0):
                calls = dice.randint(1, 2 * self.limits.max_requests)
                when = min(self.span, world.now + dice.uniform(0, self.span / 2))
                world.at(when, lambda calls=calls: member.call(bulk=True, many=calls))

            def arrive() -> None:
                if world.now < self.span:
                    member.call(bulk=False)
                    world.at(world.now + dice.expovariate(rate), arrive)

            if desk or not bulk:
                arrive()

        world.at(when, join)

    def _disturb(self) -> None:
        disturbances: list[tuple[str, Callable[[], None]]] = [
            ("kills", self._kill),
            ("freezes", self._freeze),
            ("store", self._lose_store),
            ("clock", self._set_clock),
            ("cut", self._cut),
            ("limits", self._change_limit),
        ]
        for kind, disturb in disturbances:
            if self.has(kind):
                for _ in range(self.dice.randint(1, 4)):
                    self.world.at(self.dice.uniform(0.2, self.span - self.interval), disturb)
        if self.has("kills") or self.has("store"):
            for index in range(self.dice.randint(0, 3)):
                self._join(100 + index, self.dice.uniform(0, self.span))

    def _choose(self) -> Member | None:
        living = [one for one in self.world.members if one.alive]
        return self.dice.choice(living) if living else None

    def _kill(self) -> None:
        if (member := self._choose()) is not None:
            member.kill()

    def _freeze(self) -> None:
        if (member := self._choose()) is not None:
            member.frozen_until = self.world.now + self.dice.uniform(0.1, 4 * self.interval)

    def _cut(self) -> None:
        """From the store, not from the API."""
        if (member := self._choose()) is None or self.world.now < self.world.quiet_until:
            return
        member.cut = True

        def mend() -> None:
            member.cut = False

        self.world.at(self.world.now + self.dice.uniform(0.1, 5 * self.interval), mend)

    def _lose_store(self) -> None:
        """It is away for a while; then it is there as before, empty, or with an old state."""
        store, dice = self.world.store, self.dice
        store.up = False
        how = dice.choice(["reached again", "empty", "old"])

        def come_back() -> None:
            if how == "reached again":
                store.up = True
            else:
                old = dice.choice(store.kept) if store.kept and how == "old" else None
                store.restart(old)
                self._reconnect()

        self.world.at(self.world.now + dice.uniform(0.05, 4 * self.interval), come_back)

    def _reconnect(self) -> None:
        """A store that has forgotten keeps a share free only if somebody tells of it: nobody is cut off as well."""
        self.world.quiet_until = self.world.now + 2 * (self.limits.hold + self.interval)
        for member in self.world.members:
            member.cut = False

    def _set_clock(self) -> None:
        """By more than an exchange takes: less cannot be noticed."""
        least = 0.1 + 4 * self.world.network.delay[1]
        seconds = self.dice.choice([least, 1.0, 2 * self.interval, 3600.0]) * self.dice.uniform(1, 2)
        self.world.store.offset += self.dice.choice([-1, 1]) * seconds

    def _change_limit(self) -> None:
        world = self.world
        world.changed.append((world.now, world.max_requests))
        world.max_requests = self.dice.choice([1, 2, 5, 10, 20])

    def _watch(self, report: Report, grant: Grant, content: bytes) -> None:
        """After each exchange: the slots of bulk calls leave the reserve free. And when was a new limit learned?"""
        state = decode(content)
        assert state is not None
        counts = tally(state)
        if report.bulk and grant.bulk and counts.bulk > state.max_requests - grant.reserve:
            self.broken.append(f"{self.world.now:.3f}: bulk calls took the reserve")
        if state.max_requests < self.world.max_requests or not self.world.changed:
            return
        since, before = self.world.changed[-1]
        if state.max_requests == self.world.max_requests and before != state.max_requests:
            self.world.learned[since] = min(self.world.learned.get(since, math.inf), self.world.now)

    def _end_disturbances(self) -> None:
        """From here on all is well."""
        world = self.world
        world.network.loss = world.network.slow = 0.0
        if not world.store.up:
            world.store.up = True
        for member in world.members:
            member.cut = False
            member.frozen_until = min(member.frozen_until, world.now)

    def _check_progress(self) -> None:
        """Nobody starves: every call of a living member is sent, once the shares of the killed are free again."""
        world = self.world
        living = [one for one in world.members if one.alive]
        calls = sum(one.pending for one in living)
        per_window = max(1, min(world.max_requests, self.limits.max_requests) // 2)
        each = (
            self.interval + self.limits.hold + world.network.write
        )  # a lease may run out on its way to the socket
        seconds = PROMISE_SECONDS + (calls / per_window + 6) * each
        busy = world.network.write + max(
            world.network.latency
        )  # a member with little concurrency is slow by itself
        seconds += 2 * max((one.pending / one.concurrency for one in living), default=0.0) * busy
        world.run(self.span + seconds, lambda: not any(one.pending or one.in_flight for one in living))
        for one in living:
            if one.pending:
                self.broken.append(f"{one.name} still waits with {one.pending} calls after {seconds:.0f} s")

    def _check_windows(self) -> None:
        """Never more than N in any T at the server; for a while after N was lowered, never more than before."""
        times = sorted(when for when, _, covered in self.world.counted if covered)
        first = 0
        for last, when in enumerate(times):
            while times[first] <= when - self.interval + _ROUNDING:
                first += 1
            if last - first + 1 > self._find_most(when):
                self.broken.append(f"{when:.3f}: {last - first + 1} in one interval, not {self._find_most(when)}")
                return

    def _find_most(self, when: float) -> float:
        world, most = self.world, self.world.max_requests
        wait = self.limits.hold + 2 * self.interval
        held = {before for since, before in world.changed if when - wait < world.learned.get(since, math.inf)}
        now = next((before for since, before in world.changed if when < since), most)
        return max(held | {now})

    def _check_slots_come_back(self) -> None:
        """When all have gone, a new member gets all there is."""
        world, limits = self.world, self.limits
        later = world.now + PROMISE_SECONDS + 10 * (self.interval + limits.hold) + 100.0
        if world.store.content is None:
            return
        state = decode(world.store.content)
        assert state is not None
        reading = Reading("1", None, state.raw + later - world.now, state.server, 1e6)
        report = Report(
            member="last",
            limits=limits,
            wall=state.wall + later - world.now,
            bulk=state.max_requests,
            need=1,
            dead=[one.name for one in world.members],
        )
        state, grant = exchanging.exchange(state, reading, report)
        if len(grant.bulk) != state.max_requests - grant.reserve or grant.reserve > max(1, state.max_requests // 2):
            self.broken.append(f"{len(grant.bulk)} of {state.max_requests} slots came back")


def play(number: int) -> Played:
    """Play one schedule, the same for the same number."""
    return Schedule(number).play()
