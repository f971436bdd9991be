"""Virtual time, a store that may lose messages and its memory, and members with clocks of their own."""

import heapq
import random
from collections import deque
from collections.abc import Callable, Generator
from typing import TypeAlias

import msgspec
from msgspec import Struct

from leadconnector_async._sharing import exchange as exchanging
from leadconnector_async._sharing.leases import Leases
from leadconnector_async._sharing.state import Grant, Limits, Report, Stated, decode, encode
from leadconnector_async._sharing.store import Reading

Task: TypeAlias = Generator[float, None, None]


class Network(Struct):
    """Of one run; durations in seconds."""

    loss: float = 0.0
    """The part of messages that is lost, each way."""
    delay: tuple[float, float] = (0.0001, 0.0005)
    """Between a member and the store, one way."""
    latency: tuple[float, float] = (0.02, 0.08)
    """Of a request to the API."""
    write: float = 0.005
    """At most from a grant to the socket write."""
    slow: float = 0.0
    """The part of requests that take up to an interval and a half, and are counted at any time until then."""
    timeout: float = 1.0
    """Of an exchange."""


class Store:
    """What a real one does: it has a clock of its own, and may be away, set, or restarted."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.content: bytes | None = None
        self.version = 0
        self.up = True
        self.offset, self.started = 1000.0, -1e6
        self.incarnation = 0
        self.reads = 0
        self.kept: list[bytes | None] = []

    def read(self) -> Reading:
        self.reads += 1
        now = self.world.now
        return Reading(
            str(self.version), self.content, now + self.offset, f"server {self.incarnation}", now - self.started
        )

    def swap(self, version: str, content: bytes) -> bool:
        if str(self.version) != version:
            return False
        self.content = content
        self.version += 1
        if len(self.kept) < 40:
            self.kept.append(content)
        return True

    def restart(self, content: bytes | None) -> None:
        self.content = content
        self.version += 1_000_000
        self.incarnation += 1
        self.started = self.world.now
        self.up = True


class World:
    """One run: everything that happens is in one heap, and every choice is made by one generator."""

    def __init__(self, dice: random.Random, limits: Limits, network: Network) -> None:
        self.dice, self.limits, self.network = dice, limits, network
        self.now = 0.0
        self.store = Store(self)
        self.members: list[Member] = []
        self.max_requests = limits.max_requests
        self.changed: list[tuple[float, int]] = []
        """When the server's limit was changed, and what held before."""
        self.learned: dict[float, float] = {}
        """When the store heard of the change at that time."""
        self.counted: list[tuple[float, bool, bool]] = []
        """When the server counted a request, whether of a bulk call, and whether a lease or share covered it."""
        self.admit: Callable[[float, bool], float | None] = lambda _now, _bulk: None
        self.watch: Callable[[Report, Grant, bytes], None] = lambda _report, _grant, _content: None
        self.quiet_until = 0.0
        """Until then no message is lost."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0

    def at(self, when: float, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, action))

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until and not done():
            self.now, _, action = heapq.heappop(heap)
            action()
        if not done():
            self.now = until

    def pick(self, bounds: tuple[float, float]) -> float:
        return self.dice.uniform(*bounds)


class Member:
    """One process: its calls, its leases, and the exchanges that it makes."""

    def __init__(self, world: World, name: str, machine: int, *, concurrency: int = 1000) -> None:
        self.world, self.name, self.machine = world, name, machine
        self.concurrency = concurrency
        self.clock_offset = world.dice.uniform(0, 1e5)
        self.wall_offset = random.Random(machine).uniform(-0.4, 0.4)
        self.leases = Leases(name, world.limits, world.dice)
        self.waiting: dict[bool, deque[float]] = {False: deque(), True: deque()}
        self.backlog = 0
        """Bulk calls that come as others end."""
        self.in_flight = 0
        self.bulk_in_flight = 0
        self.waits: list[float] = []
        """Of interactive calls, from arrival to the socket write."""
        self.sent = self.ended = self.exchanges = self.refused = 0
        self.finished_at = 0.0
        self.alive, self.cut = True, False
        self.killed_at = 0.0
        self.frozen_until = 0.0
        self.stated: tuple[float, int] | None = None
        self.pause_until = 0.0
        self._exchanging = False
        self._timer = 0
        world.members.append(self)

    @property
    def now(self) -> float:
        """By its own monotonic clock."""
        return self.world.now + self.clock_offset

    @property
    def pending(self) -> int:
        return self.backlog + sum(map(len, self.waiting.values()))

    def start(self, task: Task) -> None:
        """Run it for as long as the member lives; a frozen one goes on later."""

        def step() -> None:
            if not self.alive:
                return
            if self.frozen_until > self.world.now:
                self.world.at(self.frozen_until, step)
                return
            for seconds in task:
                self.world.at(self.world.now + seconds, step)
                return

        step()

    def call(self, *, bulk: bool, many: int = 1) -> None:
        if not self.alive:
            return
        if bulk:
            self.backlog += many
        else:
            self.waiting[False].append(self.world.now)
        self.pump()

    def pump(self) -> None:
        """Send what can be sent, and exchange when it is due."""
        world, leases = self.world, self.leases
        if not self.alive:
            return
        if self.frozen_until > world.now:
            world.at(self.frozen_until, self.pump)
            return
        waiting = self.waiting[True]
        while self.backlog and len(waiting) + self.bulk_in_flight < self.concurrency:
            self.backlog -= 1
            waiting.append(world.now)
        for bulk in (False, True):
            while self.waiting[bulk] and self.now >= self.pause_until:
                number = leases.take(self.now, bulk=bulk)
                if number is None:
                    break
                since = self.waiting[bulk].popleft()
                self.in_flight += 1
                self.bulk_in_flight += bulk
                self.start(self.send(number, since, bulk=bulk, covered=self._is_covered()))
        self.plan()

    def plan(self) -> None:
        if self._exchanging or not self.alive:
            return
        due = self.leases.find_due(self.now, bulk=len(self.waiting[True]), interactive=len(self.waiting[False]))
        self._timer += 1
        if due is None:
            return
        timer = self._timer

        def fire() -> None:
            if timer == self._timer and self.alive and not self._exchanging:
                self._exchanging = True
                self.start(self.exchange())

        self.world.at(max(self.world.now, due - self.clock_offset), fire)

    def _is_covered(self) -> bool:
        """By a lease or a share. Not by the guess of a member without a share, or by a limit nobody told it of."""
        contact, most = self.leases.contact, self.world.max_requests
        if contact.failed_since is None:
            return True
        is_told = self.stated is not None and self.stated[1] <= most
        grant = contact.grant
        return grant is not None and contact._is_promised(grant) and (is_told or grant.max_requests <= most)

    def send(self, number: int, since: float, *, bulk: bool, covered: bool) -> Task:
        world, network, dice = self.world, self.world.network, self.world.dice
        yield dice.uniform(0, network.write)
        if self.now >= self.leases.find_end(number):
            self.leases.give_back(number)
            self.in_flight -= 1
            self.bulk_in_flight -= bulk
            self.waiting[bulk].appendleft(since)
            self.pump()
            return
        self.sent += 1
        if not bulk:
            self.waits.append(world.now - since)
        latency = world.pick(network.latency)
        way = dice.uniform(0, min(latency, 0.15 * world.limits.hold))
        if network.slow and dice.random() < network.slow:
            latency = dice.uniform(0, 1.5 * world.limits.interval)
            way = dice.uniform(0, latency)
        refused: list[float] = []

        def count() -> None:
            world.counted.append((world.now, bulk, covered))
            seconds = world.admit(world.now, bulk)
            if seconds is not None:
                refused.append(seconds)

        world.at(world.now + way, count)
        yield latency
        self.leases.finish(number, self.now)
        self.in_flight -= 1
        self.bulk_in_flight -= bulk
        self.stated = self.now, world.max_requests
        self.leases.contact.learn(world.max_requests)
        if refused:
            self.refused += 1
            self.pause_until = max(self.pause_until, self.now + refused[0])
            self.waiting[bulk].appendleft(since)
        else:
            self.ended += 1
            self.finished_at = world.now
        self.pump()

    def exchange(self) -> Task:
        """Read, compute, swap; again if somebody else was faster."""
        world, store, leases = self.world, self.world.store, self.leases
        start, tries = self.now, 0
        while True:
            self.exchanges += 1
            tries += 1
            began = self.now
            report = self._write_report()
            reading = yield from self._ask(store.read)
            ended = self.now
            if reading is None:
                break
            report = msgspec.structs.replace(report, sighting=leases.contact.sight(began, ended))
            state, grant = exchanging.exchange(decode(reading.content), reading, report)
            content = encode(state)
            swapped = yield from self._ask(lambda: store.swap(reading.version, content))  # noqa: B023 - asked at once
            if swapped is None:
                break
            if swapped:
                self._accept(report, grant, began, ended)
                world.watch(report, grant, content)
                return
            yield world.dice.uniform(0, (self.now - began) * 2 ** min(tries - 1, 5))
            if self.now - start > world.network.timeout:
                break
        leases.contact.fail(start, self.now)
        self._exchanging = False
        self.pump()

    def _accept(self, report: Report, grant: Grant, began: float, ended: float) -> None:
        self._exchanging = False
        self.leases.accept(report, grant, began, ended)
        if grant.pause_seconds:
            self.pause_until = max(self.pause_until, self.now + grant.pause_seconds)
        self.pump()

    def _write_report(self) -> Report:
        world, bulk, interactive = self.world, len(self.waiting[True]), len(self.waiting[False])
        report = self.leases.write_report(
            self.now, world.now + self.wall_offset, bulk=bulk, interactive=interactive
        )
        dead = [
            other.name
            for other in world.members
            if not other.alive and other.machine == self.machine and other.killed_at < world.now - 0.1
        ]
        stated = None
        if self.stated is not None:
            stated = Stated(age=self.now - self.stated[0], max_requests=self.stated[1])
        return msgspec.structs.replace(
            report, dead=dead, stated=stated, pause_seconds=max(0.0, self.pause_until - self.now)
        )

    def _ask(self, action: Callable[[], object]) -> Generator[float, None, object]:
        """A round trip to the store; `None` if it was lost."""
        world, network = self.world, self.world.network
        there, back = world.pick(network.delay), world.pick(network.delay)
        response: list[object] = []
        dice = world.dice
        loss = 0.0 if world.now < world.quiet_until else network.loss
        if not self.cut and dice.random() >= loss:

            def arrive() -> None:
                if world.store.up:
                    response.append(action())

            world.at(world.now + there, arrive)
        arrives = dice.random() >= loss
        yield there + back
        if response and arrives and not self.cut:
            return response[0]
        yield network.timeout
        return None

    def kill(self) -> None:
        self.alive, self.killed_at = False, self.world.now
        self.pause_until = 0.0
