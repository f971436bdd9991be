"""Leases that expire before their request is written, on real sockets."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from leadconnector_async import AppointmentUpdate, LeadConnector, RateLimit, RetryPolicy, TransportError
from leadconnector_async._call.fence import HELD, FencedTransport
from leadconnector_async._call.transport import LateError
from leadconnector_async._limiter.lane import Lane
from leadconnector_async._limiter.slots import LocalBudget, Ticket
from leadconnector_async.events import Event, RequestFailed, RequestSent

from ..proxies import run_proxy
from ..raw_server import RawServer, answer, raw_server
from ..simulation.world import join

FOUND = answer(200, b'{"event":{"id":"ev1"}}')
UPDATED = answer(200, b'{"id":"ev1"}')
HOLD = 2.0
PEM = Path(__file__).parents[1] / "samples/self_signed.pem"
ACTS = pytest.mark.parametrize("act", ["read", "write"])


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.jumps: list[float] = []
        """What passes before each reading, from the first one on."""

    def __call__(self) -> float:
        self.now += self.jumps.pop(0) if self.jumps else 0.0
        return self.now


class LeasedSlots(LocalBudget):
    """Slots that may be used for so long."""

    def __init__(self, clock: Clock, slots: int) -> None:
        super().__init__(RateLimit(max_requests=slots))
        self.window.unchecked = slots
        self._clock = clock

    def take(self, now: float, *, bulk: bool = False, overtaken: bool = False) -> Ticket | None:
        ticket = super().take(now, bulk=bulk, overtaken=overtaken)
        return ticket and Ticket(ticket.number, ticket.sent_at, ticket.freed, ticket.bulk, self._clock.now + HOLD)


def connect(
    url: str,
    clock: Clock,
    *,
    slots: int = 10,
    session: aiohttp.ClientSession | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> LeadConnector:
    client = LeadConnector("pit-t", base_url=url, session=session, on_event=on_event)
    ours = client._shared.transport
    join(client, transport=FencedTransport(ours._base, session, ours._route, clock))
    client._shared.limiter.lanes[None] = Lane(LeasedSlots(clock, slots), asyncio.get_running_loop())
    return client


async def call(client: LeadConnector, act: str) -> str | None:
    if act == "read":
        return (await client.get_appointment("ev1")).id
    return (await client.update_appointment("ev1", AppointmentUpdate(title="Intro call"))).id


def count_methods(server: RawServer) -> list[str]:
    return [request.split(b" ")[0].decode() for request in server.requests]


def freeze(clock: Clock, seconds: list[float]) -> Callable[[Event], None]:
    """Stop the process for so long whenever a request is about to be sent."""

    def stop(event: Event) -> None:
        if isinstance(event, RequestSent) and seconds:
            clock.now += seconds.pop(0)

    return stop


@ACTS
async def test_a_call_that_was_frozen_waits_for_another_slot(act: str) -> None:
    """Nothing is sent with the lease that expired; its slot is free at once, and no attempt is counted."""
    clock, seen = Clock(), list[Event]()
    stop = freeze(clock, [HOLD, HOLD, HOLD / 2])

    def on_event(event: Event) -> None:
        seen.append(event)
        stop(event)

    async with (
        raw_server(FOUND if act == "read" else UPDATED) as server,
        connect(server.url, clock, slots=1, on_event=on_event) as client,
    ):
        assert await call(client, act) == "ev1"
        assert count_methods(server) == ["GET" if act == "read" else "PUT"]
        assert client.quota.in_flight == 0
    failed = [event for event in seen if isinstance(event, RequestFailed)]
    assert [(event.sent, event.attempt) for event in failed] == [(False, 1), (False, 1)]
    assert "lease expired" in failed[0].reason


@ACTS
async def test_the_connection_is_kept_when_the_lease_expired(act: str) -> None:
    """Where a connection takes longer than a lease lasts, the call would otherwise never be sent."""
    clock = Clock()
    async with (
        raw_server(FOUND if act == "read" else UPDATED) as server,
        connect(server.url, clock, on_event=freeze(clock, [HOLD] * 3)) as client,
    ):
        await call(client, act)
        assert (server.connections, len(server.requests)) == (1, 1)


async def test_the_body_is_checked_when_it_is_written() -> None:
    """The loop turns between the check of the request and the write of its body: nothing is sent then either."""
    clock = Clock()
    clock.jumps = [0.0, HOLD]
    async with raw_server(UPDATED) as server, connect(server.url, clock) as client:
        assert await call(client, "write") == "ev1"
        assert count_methods(server) == ["PUT"]
        assert not clock.jumps


@ACTS
async def test_waiting_for_a_connection_counts(act: str) -> None:
    """With one connection, the second call gets it too late; it is sent with another slot."""
    clock, arrived, respond = Clock(), asyncio.Event(), asyncio.Event()
    requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"content-length" in head.lower():
                    await reader.readuntil(b"}")
                requests += 1
                arrived.set()
                await respond.wait()
                writer.write(FOUND if act == "read" else UPDATED)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    failed: list[Event] = []
    async with (
        listening,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
        connect(
            url,
            clock,
            session=session,
            on_event=lambda event: failed.append(event) if isinstance(event, RequestFailed) else None,
        ) as client,
    ):
        first = asyncio.create_task(call(client, act))
        await arrived.wait()
        second = asyncio.create_task(call(client, act))
        while client.quota.in_flight < 2:
            await asyncio.sleep(0)
        clock.now += HOLD
        respond.set()
        assert await asyncio.gather(first, second) == ["ev1", "ev1"]
        assert (requests, len(failed), client.quota.in_flight) == (2, 1, 0)
        assert client.quota.remaining == 8


async def test_a_late_call_is_first_in_line() -> None:
    """Its slot goes to the next one; it waits again before all that still wait."""
    clock, order = Clock(), list[str]()
    seconds = [HOLD]

    async with (
        raw_server(*[FOUND] * 3) as server,
        connect(server.url, clock, slots=1, on_event=freeze(clock, seconds)) as client,
    ):
        client._shared.limiter.lanes[None].budget.limit.interval = 0.01  # type: ignore[attr-defined]

        async def read(name: str) -> None:
            await client.get_appointment("ev1")
            order.append(name)

        await asyncio.gather(*map(read, ["late", "second", "third"]))
        assert order == ["second", "late", "third"]


@ACTS
async def test_the_lease_is_checked_behind_a_tunnel(act: str) -> None:
    """Opening a tunnel through a proxy and TLS in it take their time too."""
    clock, failed = Clock(), list[Event]()
    stop = freeze(clock, [HOLD])

    def on_event(event: Event) -> None:
        stop(event)
        if isinstance(event, RequestFailed):
            failed.append(event)

    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(PEM)
    raw = RawServer([FOUND if act == "read" else UPDATED])
    listening = await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=serving)
    trusting = ssl.create_default_context(cafile=PEM)
    trusting.check_hostname = False
    url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with (
        listening,
        run_proxy() as proxy,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting), proxy=proxy.url) as session,
        connect(url, clock, session=session, on_event=on_event) as client,
    ):
        assert await call(client, act) == "ev1"
        assert (len(proxy.heads), [event.reason for event in failed]) == (1, [str(LateError())])
        assert count_methods(raw) == ["GET" if act == "read" else "PUT"]


class Lease:
    """Of a location: until a moment, by the clock of the process."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.until


def hold(until: float) -> Lease:
    """Let this task work for a location that is held for so long."""
    lease = Lease(until)
    HELD.set(lease)
    return lease


@pytest.mark.parametrize("jumps", [[], [0.0, HOLD]], ids=["request", "body"])
async def test_nothing_is_written_to_a_location_that_is_not_held_any_more(jumps: list[float]) -> None:
    """Another worker may be sending the same row: the write fails, and is not repeated with another slot."""
    clock, failed = Clock(), list[Event]()

    def on_event(event: Event) -> None:
        if isinstance(event, RequestSent) and not jumps:
            clock.now += HOLD
        if isinstance(event, RequestFailed):
            failed.append(event)

    clock.jumps = list(jumps)
    async with raw_server(UPDATED) as server, connect(server.url, clock, on_event=on_event) as client:
        hold(clock.now + HOLD / 2)
        once = client.with_options(retry=RetryPolicy(max_attempts=1))
        with pytest.raises(TransportError, match=r"never sent.*LostError") as caught:
            await call(once, "write")
        assert caught.value.outcome == "not_applied"
        assert server.requests == []
        assert client.quota.in_flight == 0
    assert [event.sent for event in failed] == [False]


async def test_a_location_that_was_lost_is_not_written_to() -> None:
    """Whoever learns that others have buried him sends nothing more, whatever the clock says."""
    clock = Clock()
    async with raw_server(UPDATED) as server, connect(server.url, clock) as client:
        hold(float("-inf"))
        with pytest.raises(TransportError):
            await call(client.with_options(retry=RetryPolicy(max_attempts=1)), "write")
        assert server.requests == []


async def test_a_beat_while_a_write_waits_counts() -> None:
    """The lease is looked up when the request is written, not when it began to wait for a connection."""
    clock, lease = Clock(), hold(0.0)

    def beat(event: Event) -> None:
        if isinstance(event, RequestSent):
            lease.until = clock.now + HOLD

    async with raw_server(UPDATED) as server, connect(server.url, clock, on_event=beat) as client:
        assert await call(client, "write") == "ev1"


async def test_a_slot_that_expires_while_the_location_is_held_is_replaced() -> None:
    """The two leases are checked by themselves: the location's is longer than a slot's."""
    clock = Clock()
    async with raw_server(UPDATED) as server, connect(server.url, clock, on_event=freeze(clock, [HOLD])) as client:
        hold(clock.now + 10 * HOLD)
        assert await call(client, "write") == "ev1"
        assert count_methods(server) == ["PUT"]


async def test_reads_of_a_location_that_is_not_held_are_sent() -> None:
    """They do no harm."""
    clock, lease = Clock(), hold(float("-inf"))
    async with raw_server(FOUND) as server, connect(server.url, clock) as client:
        assert await call(client, "read") == "ev1"
        assert (count_methods(server), lease.asked) == (["GET"], 0)
