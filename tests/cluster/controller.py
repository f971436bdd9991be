"""Plays a script of faults on workers that carry out one job after the other, and has each job judged."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

from msgspec import Struct

from ..sharing.relay import Relay
from .crew import Member
from .field import LONGEST, Field
from .judge import Verdict
from .script import Fault
from .traps import IN_TRANSACTION
from .watch import Held, Place
from .world import Plan

MOST_LEASES = 2.0
"""How long a takeover may take."""
SIGTERM_SECONDS = 10.0


class Tally(Struct):
    """What a campaign has shown."""

    say: Callable[[str], object]
    """Is told each thing as it happens, so that a campaign of hours can be followed and ended early."""
    faults: dict[str, int] = {}
    missed: int = 0
    """Points that a worker did not reach in time."""
    jobs: int = 0
    rows: int = 0
    takeovers: dict[str, list[float]] = {}
    """Seconds, by the name of the fault."""
    complaints: list[str] = []
    late: list[str] = []
    """What took longer than it should; tests, which may run on a busy machine, do not ask for it."""

    @property
    def holds(self) -> bool:
        return not self.complaints and not self.late

    def add_job(self, job: str, verdict: Verdict) -> None:
        self.jobs += 1
        self.rows += verdict.rows
        self.say(f"{job}: {verdict.rows} rows judged")
        if not verdict.holds:
            self.complain(f"{job}: {verdict}")

    def add_fault(self, name: str) -> None:
        self.faults[name] += 1
        self.say(f"{sum(self.faults.values()) + self.missed:4} {name}")

    def add_missed(self, name: str) -> None:
        self.missed += 1
        self.say(f"{sum(self.faults.values()) + self.missed:4} {name}: not reached")

    def add_takeovers(self, name: str, found: list[float], most: float) -> None:
        """`most`: the seconds that one may take."""
        self.takeovers[name] += found
        self.say(f"     taken over after {', '.join(f'{seconds:.2f}' for seconds in found)}")
        for seconds in found:
            if seconds > most:
                self.add_late(f"{name}: taken over after {seconds:.2f} s")

    def complain(self, text: str) -> None:
        self.complaints.append(text)
        self.say(f"FAILED: {text}")

    def add_late(self, text: str) -> None:
        self.late.append(text)
        self.say(f"LATE: {text}")


class Post(Struct):
    """A worker and its way to the database."""

    member: Member
    relay: Relay


class Controller:
    """One campaign."""

    def __init__(self, field: Field, rate: float, say: Callable[[str], object]) -> None:
        """`rate`: rows per second and location, so that jobs last. `say`: see `Tally`."""
        self._field, self._watcher, self._rate = field, field.watcher, rate
        self._posts: list[Post] = []
        self._plan: Plan | None = None
        self.tally = Tally(say, faults=defaultdict(int), takeovers=defaultdict(list))

    async def run(self, script: list[Fault], relays: list[Relay]) -> Tally:
        """One worker for each relay."""
        for relay in relays:
            self._posts.append(Post(await self._field.start(relay.url), relay))
        await self._gather()
        for fault in script:
            await (self._finish() if fault.point == IN_TRANSACTION else self._supply())
            await asyncio.sleep(fault.after)
            await self._play(fault)
        await self._finish()
        return self.tally

    @property
    def _job(self) -> str:
        return f"job-{self.tally.jobs}"

    async def _supply(self) -> None:
        """There is always a job that is not finished."""
        if self._plan is None or await self._watcher.has_ended(self._job):
            await self._finish()
            self._plan = await self._field.submit(self._job, rate=self._rate)

    async def _finish(self) -> None:
        """Wait for the end of the job, and judge it."""
        if self._plan is None:
            return
        verdict = Verdict()
        try:
            verdict = await self._field.finish(self._job, self._plan)
        except TimeoutError:
            self.tally.complain(f"{self._job} has not ended")
        self.tally.add_job(self._job, verdict)
        self._plan = None

    async def _play(self, fault: Fault) -> None:
        """Until its locations were taken over, and all workers are there again.

        A transaction of several pieces takes or prepares a location, so the next job begins with the trap armed.
        """
        post = await self._choose(fault.victim)
        if fault.point and not (await asyncio.gather(self._lead_to(post, fault), self._supply()))[0]:
            self.tally.add_missed(fault.name)
            return
        kind, _, second = fault.kind.partition(" and ")
        hit = self._posts if "database" in fault.kind else [post]
        held = await self._watcher.list_held(*(one.member.pid for one in hit))
        began = time.monotonic()
        match kind:
            case "kill":
                post.member.kill()
                await post.member.wait()
            case "freeze":
                post.member.freeze()
            case "cut":
                post.relay.running.clear()
            case "terminate":
                await self._terminate(post)
            case _:
                pass
        if "database" in (kind, second):
            began = await self._restart_database(fault.down)
        await self._recover(post, kind, fault, held, began)
        self.tally.add_fault(fault.name)

    async def _choose(self, victim: float) -> Post:
        """One that works on something, as soon as there is one."""
        busy: list[Post] = []

        async def find() -> bool:
            if self._plan is None:
                return True
            busy[:] = [post for post in self._posts if await self._watcher.list_held(post.member.pid)]
            return bool(busy) or await self._watcher.has_ended(self._job)

        await self._watcher.until(find, LONGEST)
        among = busy or self._posts
        return among[int(victim * len(among))]

    async def _lead_to(self, post: Post, fault: Fault) -> bool:
        act = "kill" if fault.kind == "kill" else "stop"
        return await post.member.lead_to(fault.point, fault.times, act, 3 * self._field.lease)

    async def _terminate(self, post: Post) -> None:
        began = time.monotonic()
        post.member.terminate()
        code = await post.member.wait()
        seconds = time.monotonic() - began
        if code:
            self.tally.complain(f"SIGTERM: exit code {code}")
        if seconds > SIGTERM_SECONDS:
            self.tally.add_late(f"SIGTERM: ended after {seconds:.1f} s")

    async def _restart_database(self, down: float) -> float:
        await asyncio.to_thread(self._field.server.kill)
        await asyncio.sleep(down)
        await asyncio.to_thread(self._field.server.start)
        return time.monotonic()

    async def _recover(self, post: Post, kind: str, fault: Fault, held: dict[Place, Held], began: float) -> None:
        ends: asyncio.Task[None] | None = None
        if kind in ("freeze", "cut"):
            ends = asyncio.create_task(self._continue(post, fault.lasts))
            if fault.lasts < MOST_LEASES * self._field.lease:  # it may keep them, or get them back
                held = {}
        elif post.member.code is not None:
            post.member = await self._field.start(post.relay.url)
        await self._measure(fault, held, began)
        if ends is not None:
            await ends
        await self._gather()

    async def _measure(self, fault: Fault, held: dict[Place, Held], began: float) -> None:
        try:
            found = await self._watcher.measure(held, began, LONGEST)
        except TimeoutError:
            self.tally.complain(f"{fault.name}: nobody took over within {LONGEST:.0f} s")
            return
        if found:
            self.tally.add_takeovers(fault.name, found, MOST_LEASES * self._field.lease)

    async def _continue(self, post: Post, seconds: float) -> None:
        await asyncio.sleep(seconds)
        post.member.thaw()
        post.relay.running.set()

    async def _gather(self) -> None:
        """Until all are registered. A worker that has ended by itself is a complaint."""

        missing = {post.member.pid for post in self._posts}

        async def are_there() -> bool:
            nonlocal missing
            missing = {post.member.pid for post in self._posts} - await self._watcher.list_pids()
            return not missing

        for post in self._posts:
            if post.member.code is not None:
                said = post.member.read_errors()[-2000:]
                self.tally.complain(f"a worker ended by itself ({post.member.code}): {said}")
                post.member = await self._field.start(post.relay.url)
        try:
            await self._watcher.until(are_there, LONGEST)
        except TimeoutError:
            said = [post.member.read_errors()[-2000:] for post in self._posts if post.member.pid in missing]
            self.tally.complain(f"{missing} did not come back within {LONGEST:.0f} s: {said}")
