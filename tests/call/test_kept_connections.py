"""Kept connections that the server has closed or written to while they were idle, on real sockets."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from leadconnector_async import AppointmentCreate, LeadConnector, OutcomeUnknownError, RetryPolicy, with_response
from leadconnector_async._call.transport import is_stale

from ..conftest import QUICK
from ..raw_server import answer

BOOKING = AppointmentCreate(
    calendar_id="c", location_id="l", contact_id="k", start_time="2027-03-09T09:00:00-05:00"
)
PUSHED = answer(200, b'{"id":"of somebody else"}')


class Restless:
    """A server that does something to a connection that was idle for a moment."""

    def __init__(self, after: bytes, *, closes: bool, seconds: float) -> None:
        self.connections = self.requests = 0
        self.url = ""
        self._after, self._closes, self._seconds = after, closes, seconds

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        seconds: float | None = None
        try:
            while True:
                try:
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), seconds)
                except TimeoutError:
                    writer.write(self._after)
                    if self._closes:
                        break
                    seconds = None
                    continue
                if length := re.search(rb"content-length: (\d+)", head, re.I):
                    await reader.readexactly(int(length[1]))
                self.requests += 1
                body = b'{"event":{"id":"ev1"}}' if head.startswith(b"GET") else b'{"id":"%d"}' % self.requests
                writer.write(answer(200, body))
                seconds = self._seconds
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def connect(url: str) -> LeadConnector:
    return LeadConnector("t", base_url=url, retry=QUICK)


@asynccontextmanager
async def restless(after: bytes = b"", *, closes: bool, seconds: float = 0.01) -> AsyncIterator[Restless]:
    raw = Restless(after, closes=closes, seconds=seconds)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield raw
    finally:
        server.close()
        await server.wait_closed()


class Threaded:
    """Runs a restless server in a loop of its own, so that it goes on while the client's loop is busy."""

    def __init__(self, after: bytes, *, closes: bool, seconds: float) -> None:
        self._ready: asyncio.Future[Restless] = asyncio.get_running_loop().create_future()
        self._after, self._closes, self._seconds = after, closes, seconds

    def run(self, loop: asyncio.AbstractEventLoop, done: "list[asyncio.Event]") -> None:
        async def serve() -> None:
            ended = asyncio.Event()
            async with restless(self._after, closes=self._closes, seconds=self._seconds) as server:
                done.append(ended)
                loop.call_soon_threadsafe(self._ready.set_result, server)
                await ended.wait()

        asyncio.run(serve())

    async def wait(self) -> Restless:
        return await self._ready


@asynccontextmanager
async def threaded(after: bytes = b"", *, closes: bool, seconds: float = 0.01) -> AsyncIterator[Restless]:
    server, done = Threaded(after, closes=closes, seconds=seconds), list[asyncio.Event]()
    running = asyncio.create_task(asyncio.to_thread(server.run, asyncio.get_running_loop(), done))
    try:
        yield await server.wait()
    finally:
        done[0]._loop.call_soon_threadsafe(done[0].set)  # type: ignore[attr-defined]
        await running


@pytest.mark.parametrize("after", [b"", PUSHED, b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"])
async def test_a_booking_after_a_busy_while_is_made_on_a_new_connection(after: bytes) -> None:
    """The server has closed the kept one meanwhile: nothing had left, so it is sent, once, and counted once."""
    async with (
        threaded(after, closes=True) as server,
        LeadConnector("t", base_url=server.url, retry=QUICK) as client,
    ):
        assert (await client.create_appointment(BOOKING)).id == "1"
        time.sleep(0.1)  # noqa: ASYNC251 - the loop shall not turn
        booked = await with_response(client.create_appointment(BOOKING))
        assert (booked.value.id, booked.attempts) == ("2", 1)
        assert (server.requests, server.connections) == (2, 2)


async def test_many_kept_connections_that_have_ended_cost_one_attempt() -> None:
    """Each is thrown away, until a new one is made."""
    async with threaded(closes=True, seconds=0.3) as server, connect(server.url) as client:
        await asyncio.gather(*(client.create_appointment(BOOKING) for _ in range(10)))
        time.sleep(0.7)  # noqa: ASYNC251
        assert (await with_response(client.create_appointment(BOOKING))).attempts == 1
        assert server.requests == 11


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("borrowed", [False, True])
async def test_an_answer_that_nobody_has_asked_for_is_nobodys(busy: bool, borrowed: bool) -> None:
    """It closes its connection, read or unread as yet; the next call gets its own answer on a new one."""
    async with threaded(PUSHED, closes=False) as server, aiohttp.ClientSession() as session:
        options = {"session": session} if borrowed else {}
        async with LeadConnector("t", base_url=server.url, retry=QUICK, **options) as client:  # type: ignore[arg-type]
            assert (await client.create_appointment(BOOKING)).id == "1"
            if busy:
                time.sleep(0.1)  # noqa: ASYNC251
            else:
                await asyncio.sleep(0.1)
            assert (await client.create_appointment(BOOKING)).id == "2"
            time.sleep(0.1)  # noqa: ASYNC251
            assert (await client.get_appointment("ev1")).id == "ev1"
    assert (server.requests, server.connections) == (3, 3)


async def test_a_quiet_connection_is_kept() -> None:
    """Nothing is thrown away without need."""
    async with restless(closes=False) as server, LeadConnector("t", base_url=server.url) as client:
        for number in range(5):
            assert (await client.create_appointment(BOOKING)).id == str(number + 1)
    assert server.connections == 1


async def test_a_connection_that_ends_after_the_request_has_left_leaves_it_open() -> None:
    """What may have reached the server is never said not to have: this is no stale connection."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if len(seen) == 1:
            writer.write(answer(200, b'{"id":"1"}'))
            seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with LeadConnector("t", base_url=url, retry=RetryPolicy(on_ambiguous="raise")) as client:
        await client.request("DELETE", "/x", repeatable=False)
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.create_appointment(BOOKING)
    server.close()
    await server.wait_closed()
    assert (caught.value.outcome, caught.value.attempts, len(seen)) == ("unknown", 1, 2)


async def test_tls_connections_are_kept_though_tickets_arrive() -> None:
    """A server that sends session tickets is not taken for one that speaks unasked."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(Path(__file__).parents[1] / "samples/self_signed.pem")
    client_side = ssl.create_default_context()
    client_side.check_hostname, client_side.verify_mode = False, ssl.CERT_NONE
    raw = Restless(b"", closes=False, seconds=60)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=server_side)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    connector = aiohttp.TCPConnector(ssl=client_side)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with LeadConnector("t", base_url=url, session=session) as client:
            for _ in range(5):
                await client.create_appointment(BOOKING)
    server.close()
    await server.wait_closed()
    assert (raw.connections, raw.requests) == (1, 5)


async def test_aiohttp_still_asks_the_request_to_send_itself() -> None:
    """`CarefulRequest` overrides `ClientRequest.send`: if aiohttp renames it, this fails, and no user's call."""
    asked: list[bool] = []

    class Asked(aiohttp.ClientRequest):
        async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
            asked.append(is_stale(conn))
            return await super().send(conn)

    async with restless(closes=False) as server, aiohttp.ClientSession(request_class=Asked) as session:
        for _ in range(2):
            async with session.post(server.url, data=b"{}") as response:
                await response.read()
    assert asked == [False, False]


async def test_the_cut_of_a_new_connection_is_no_reason_to_try_without_end() -> None:
    """A server that closes every connection at once costs as many attempts as the policy says."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    policy = RetryPolicy(max_attempts=3, backoff_base=0.001, backoff_cap=0.002)
    async with LeadConnector("t", base_url=url, retry=policy) as client:
        with pytest.raises(Exception, match=r"response|never sent") as caught:
            await client.get_appointment("ev1")
    server.close()
    await server.wait_closed()
    assert getattr(caught.value, "attempts", None) == 3
