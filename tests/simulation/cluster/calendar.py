"""A calendar that many processes change: it sees every request, whoever sent it, also after that one has died."""

import asyncio
import random
from collections.abc import Callable, Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import cast

import aiohttp
import msgspec
from msgspec import Struct
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from leadconnector_async import LeadConnector
from leadconnector_async._call import fence
from leadconnector_async._call.fence import FencedTransport

from ...benchmarks import made
from ...benchmarks.server import HEADERS
from ..world import join
from .processes import PROCESS, Process, outside


class Put(Struct, frozen=True):
    """An update, as it was sent."""

    at: float
    process: Process
    location: str
    event: str


class Calendar:
    """The appointments of some locations."""

    def __init__(self, dice: random.Random, sizes: list[int]) -> None:
        self.dice = dice
        self.events = {
            (event := made._build(location, number))["id"]: event
            for location, size in enumerate(sizes)
            for number in range(size)
        }
        self.applied: dict[str, int] = dict.fromkeys(map(str, self.events), 0)
        """How often each was updated."""
        self.puts: list[Put] = []
        self.on_put: Callable[[Put], None] = lambda put: None
        """Is told of each update when it leaves its process."""
        self.delay = 0.1
        self.longest = 1.0
        """Seconds of a usual and of the longest round trip."""
        self.longest_way = 0.05
        """Seconds of the way there: what is sent right before a lease expires arrives before others take over."""

    def connect(self, process: Process, location: str) -> LeadConnector:
        """A client of one location, in a process."""
        client = LeadConnector("pit-simulated", location_id=location, base_url="http://127.0.0.1")
        return join(client, transport=Wire(self, process))

    async def exchange(self, method: str, url: URL, body: bytes | None) -> bytes:
        """Take the request to the server, and its response back."""
        loop = asyncio.get_running_loop()
        process = cast("Process", PROCESS.get())
        seconds = min(self.longest, self.delay * self.dice.lognormvariate(0, 0.5))
        there = min(self.longest_way, seconds * self.dice.random())
        response: asyncio.Future[bytes] = loop.create_future()

        def arrive() -> None:
            content = self.serve(url, body)
            loop.call_later(seconds - there, respond, content, context=process.context())

        def respond(content: bytes) -> None:
            if not response.done():
                response.set_result(content)

        if method == "PUT":
            event = url.path.rpartition("/")[2]
            put = Put(loop.time(), process, str(self.events[event]["locationId"]), event)
            self.puts.append(put)
            self.on_put(put)
        loop.call_later(there, arrive, context=outside())
        return await response

    def serve(self, url: URL, body: bytes | None) -> bytes:
        if url.query:
            return msgspec.json.encode({"events": list(self._list(url))})
        event = self.events[url.path.rpartition("/")[2]]
        if body is None:
            return msgspec.json.encode({"event": event})
        event.update(msgspec.json.decode(body))
        self.applied[str(event["id"])] += 1
        return msgspec.json.encode(event)

    def _list(self, url: URL) -> Iterator[dict[str, object]]:
        begin, end = (int(url.query[name]) / 1000 for name in ("startTime", "endTime"))
        for event in self.events.values():
            mine = event["locationId"] == url.query["locationId"] and event["calendarId"] == url.query["calendarId"]
            if mine and begin <= datetime.fromisoformat(str(event["startTime"])).timestamp() <= end:
                yield event


class Wire(FencedTransport):
    """The transport of a client that shares its limit, without sockets: aiohttp's part is played by `_Session`."""

    def __init__(self, calendar: Calendar, process: Process) -> None:
        super().__init__(URL("http://127.0.0.1"), None, None, process.clock)
        self._wire = _Session(calendar)

    def open(self, loop: asyncio.AbstractEventLoop) -> aiohttp.ClientSession:
        self.open_in, self.session = loop, cast("aiohttp.ClientSession", self._wire)
        return self.session

    async def close(self) -> None:
        self._closed = True


class _Session:
    closed = True  # there is nothing to close

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._headers = CIMultiDictProxy(CIMultiDict(HEADERS))

    async def request(self, method: str, url: URL, *, data: fence.FencedBody | None, **_: object) -> object:
        dice = self._calendar.dice
        if dice.random() < 0.2:
            await asyncio.sleep(dice.uniform(0, 0.3))  # for a connection
        fence._check()
        if data is not None:
            data.progress.sent = True
        content = await self._calendar.exchange(method, url, None if data is None else data._value)
        body = SimpleNamespace(is_eof=lambda: True, read_nowait=lambda: content)
        return SimpleNamespace(content=body, status=200, headers=self._headers)
