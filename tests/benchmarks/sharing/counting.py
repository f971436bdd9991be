"""The server that counts: a sandbox in a process of its own, whose locations count in a way of their own each."""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web
from msgspec import Struct

from leadconnector_async.sandbox import Limits, Sandbox
from leadconnector_async.sandbox.rate_limits import RateLimiter

from ...simulation.windows import WINDOWS, Algorithm
from .child import Child

LOCATIONS = 400
"""A run takes the next one, so that nothing of an earlier run counts."""
APPOINTMENTS = 5
LATENCY = 0.02
"""A request is counted up to this many seconds after it was sent."""


class Place(Struct, frozen=True):
    """A location that no run has used yet, and how to reach it."""

    url: str
    token: str
    location_id: str
    event_ids: tuple[str, ...]
    max_requests: int
    interval: float


class Arrival(Struct, frozen=True):
    """A request as the server saw it."""

    at: float
    """By the machine's monotonic clock, which all processes share."""
    status: int
    event_id: str | None


class Count(Struct, frozen=True):
    """The log of one location."""

    arrivals: tuple[Arrival, ...]

    @property
    def statuses(self) -> Counter[int]:
        return Counter(one.status for one in self.arrivals)

    @property
    def refused(self) -> int:
        return self.statuses[429]

    @property
    def admitted(self) -> list[float]:
        return [one.at for one in self.arrivals if one.status == 200]


class CountingServer:
    """Starts and asks the process; one run at a time."""

    def __init__(self, locations: int = LOCATIONS, appointments: int = APPOINTMENTS) -> None:
        self._sizes = locations, appointments

    def __enter__(self) -> Self:
        self._child = Child(__name__, *map(str, self._sizes))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._child.close()

    def take_place(self, algorithm: Algorithm, max_requests: int, interval: float) -> Place:
        """A location that counts in this way, and allows that much."""
        return msgspec.convert(self._ask("take", algorithm, max_requests, interval), Place)

    def count(self, place: Place) -> Count:
        """What it has seen of a location."""
        return msgspec.convert(self._ask("count", place.location_id), Count)

    def _ask(self, *question: object) -> object:
        self._child.write(question)
        return self._child.read()


class CountingSandbox:
    """The process: answers questions on standard input, and requests on its port."""

    def __init__(self, locations: int, appointments: int) -> None:
        self.sandbox = Sandbox(locations=locations, appointments=appointments, strict=False, log_size=1_000_000)
        self._unused = iter(self.sandbox.location_ids)
        _slow_down(self.sandbox)

    def take(self, algorithm: Algorithm, max_requests: int, interval: float) -> Place:
        sandbox, location_id = self.sandbox, next(self._unused)
        sandbox.requests.clear()
        sandbox.set_limits(location_id, Limits(max_requests=max_requests, interval=interval))
        now, _ = sandbox._app.clock.read(asyncio.get_running_loop().time())
        limiter = RateLimiter(now, WINDOWS[algorithm]())  # of this location only: several are measured at once
        sandbox._app.rate_limits._limiters[location_id, None] = limiter
        return Place(
            sandbox.url,
            sandbox.issue_token(location_id=location_id),
            location_id,
            sandbox.find_appointment_ids(location_id),
            max_requests,
            interval,
        )

    def count(self, location_id: str) -> Count:
        seen = [one for one in self.sandbox.requests if one.location_id == location_id]
        return Count(tuple(Arrival(one.at, one.status or 0, one.event_id) for one in seen))

    async def run(self) -> None:
        """Until standard input ends."""
        async with self.sandbox:
            while line := await asyncio.to_thread(sys.stdin.readline):
                name, *arguments = json.loads(line)
                answer: Place | Count = getattr(self, name)(*arguments)
                sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
                sys.stdout.flush()


def _slow_down(sandbox: Sandbox) -> None:
    """Let every request take its time until it is counted, as if it came from afar."""
    listener, dice = sandbox._listener, random.Random(1)
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = listener._handle

    async def handle_later(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(dice.uniform(0, LATENCY))
        return await handle(request)

    listener._handle = handle_later  # type: ignore[method-assign]


if __name__ == "__main__":
    asyncio.run(CountingSandbox(*map(int, sys.argv[1:])).run())
