"""A sandbox without sockets, reached through latencies, and clients that are joined to it."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import urlencode

import aiohttp
from msgspec import structs
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from leadconnector_async import ConfigurationError, LeadConnector, RetryPolicy
from leadconnector_async._api.request import Request
from leadconnector_async._call.reply import NoResponse, Progress, RawResponse
from leadconnector_async._call.transport import Transport
from leadconnector_async.sandbox import Limits, Sandbox
from leadconnector_async.sandbox.app import Response as Served

from .windows import Algorithm, count_by

Latency = Callable[[random.Random], float]


def usual(dice: random.Random) -> float:
    """Seconds of a round trip: about 0.1, seldom more than 0.2."""
    return 0.1 * dice.lognormvariate(0, 0.3)


def heavy_tailed(dice: random.Random) -> float:
    """About 0.1, one in a hundred more than 0.6."""
    return 0.1 * dice.lognormvariate(0, 0.8)


class World:
    """One server; every request takes its time to it, and its answer the rest of the way back."""

    def __init__(
        self,
        limits: Limits,
        *,
        algorithm: Algorithm = "sliding",
        latency: Latency = usual,
        seed: int = 1,
        log_size: int = 10_000,
        appointments: int = 200,
        locations: int = 1,
    ) -> None:
        self.sandbox = Sandbox(
            appointments=appointments, locations=locations, limits=limits, strict=False, log_size=log_size
        )
        count_by(self.sandbox, algorithm)
        self.dice = random.Random(seed)
        self.tokens = {one: self.sandbox.issue_token(location_id=one) for one in self.sandbox.location_ids}
        self._latency = latency
        self._latencies: dict[str, Latency] = {}

    def slow_down(self, location_id: str, latency: Latency) -> None:
        """Give the requests of one location latencies of their own."""
        self._latencies[f"Bearer {self.tokens[location_id]}"] = latency

    async def exchange(self, method: str, path: str, headers: CIMultiDict[str], body: bytes) -> Served:
        """Send one request. It arrives even if its caller gives up: what has left cannot be called back."""
        loop = asyncio.get_running_loop()
        seconds = self._latencies.get(headers["Authorization"], self._latency)(self.dice)
        there = seconds * self.dice.random()
        answer: asyncio.Future[Served] = loop.create_future()

        def arrive() -> None:
            served = self.sandbox._app.receive(method, path, headers, body, loop.time())
            if (apply := served.apply) is not None:
                loop.call_later(served.fault.seconds, lambda: apply(loop.time()))
            stalled = served.fault.seconds if served.fault.kind == "stall" else 0.0
            loop.call_later(seconds - there + stalled, answer_to, served)

        def answer_to(served: Served) -> None:
            if not answer.done():
                answer.set_result(served)

        loop.call_later(there, arrive)
        return await answer

    def connect_all(self) -> LeadConnector:
        """A client of the first location that reaches all others by `for_location`."""
        return self.connect(token=_Tokens(self.tokens, self.sandbox.location_id))

    def connect(self, **options: object) -> LeadConnector:
        """A client of its own: with its own limiter, as in another process."""
        settings = {"token": self.sandbox.token, "location_id": self.sandbox.location_id, **options}
        client = LeadConnector(base_url="http://127.0.0.1", **settings)  # type: ignore[arg-type]
        return join(client, transport=Joined(self))


class _Tokens:
    """The tokens of all locations, and that of one."""

    def __init__(self, tokens: Mapping[str, str], location_id: str) -> None:
        self._tokens = tokens
        self._location_id = location_id

    async def __call__(self) -> str:
        return self._tokens[self._location_id]

    def for_location(self, location_id: str) -> "_Tokens":
        return _Tokens(self._tokens, location_id)


def join(client: LeadConnector, **parts: object) -> LeadConnector:
    """Give a client other parts, such as a transport without sockets."""
    client._shared = structs.replace(client._shared, **parts)
    client._pipeline = client._build_pipeline()
    return client


class Unconnected(Transport):
    """A transport without sockets."""

    def __init__(self) -> None:
        super().__init__(URL("http://127.0.0.1"), None)

    def open(self, loop: asyncio.AbstractEventLoop) -> aiohttp.ClientSession:
        if self._closed:
            raise ConfigurationError("the client is closed")
        return cast("aiohttp.ClientSession", None)


class Joined(Unconnected):
    """Reaches the world's server."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def send(
        self,
        session: aiohttp.ClientSession,
        request: Request[object],
        headers: CIMultiDict[str],
        bounds: aiohttp.ClientTimeout,
        progress: Progress,
    ) -> RawResponse | NoResponse:
        progress.sent, progress.response = True, None
        path = f"{request.path}?{urlencode(request.query)}" if request.query else request.path
        served = await self._world.exchange(request.operation.method, path, headers, request.body or b"")
        progress.answered_at = asyncio.get_running_loop().time()
        if served.fault.kind in ("reset", "lose-response", "late"):
            return NoResponse("the connection was cut")
        proxy = CIMultiDictProxy(CIMultiDict(served.headers))
        fault = "half of it" if served.fault.kind == "half-body" else ""
        return RawResponse(served.status, proxy, b"" if fault else served.body, progress.answered_at, fault)


PATIENT = RetryPolicy(max_attempts=1000)
"""Nobody gives up: what is measured is how long it takes."""
