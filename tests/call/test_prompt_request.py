"""Small bodies are written without a task, and everything else as aiohttp does it."""

import asyncio
import sys
from collections.abc import Coroutine

import aiohttp
import pytest

from leadconnector_async import AppointmentUpdate, Event, LeadConnector
from leadconnector_async._call import transport
from leadconnector_async.events import RequestFailed, RequestSent

from ..conftest import QUICK
from ..raw_server import RawServer, answer, raw_server

OK = answer(200, b'{"id":"ev1"}')
SMALL = AppointmentUpdate(title="Intro call")
LARGE = AppointmentUpdate(title="x" * 300_000)


async def send_with_both(server: RawServer, update: AppointmentUpdate) -> None:
    """On a session of our own, and on a borrowed one, on which aiohttp sends every request by itself."""
    async with LeadConnector("t", base_url=server.url) as own:
        await own.update_appointment("ev1", update)
    async with (
        aiohttp.ClientSession() as session,
        LeadConnector("t", base_url=server.url, session=session) as other,
    ):
        await other.update_appointment("ev1", update)


@pytest.mark.parametrize("update", [SMALL, LARGE])
async def test_the_request_is_what_aiohttp_would_send(update: AppointmentUpdate) -> None:
    """Byte for byte, whatever its size."""
    async with raw_server(OK, OK) as server:
        await send_with_both(server, update)
    ours, by_aiohttp = server.requests
    assert ours.startswith(b"PUT /calendars/events/appointments/ev1 HTTP/1.1\r\n")
    assert ours == by_aiohttp


async def test_a_newer_aiohttp_sends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it makes its responses in another way than is known, nothing is lost but time."""
    monkeypatch.setattr(transport, "_makes_responses_as_known", lambda: False)
    monkeypatch.setattr(transport, "_write", None)
    async with raw_server(OK, OK) as server:
        await send_with_both(server, SMALL)
    assert server.requests[0] == server.requests[1]


def test_this_aiohttp_is_known() -> None:
    """If a new version makes its responses in another way, this fails, and no user's call."""
    assert transport._makes_responses_as_known()


@pytest.mark.skipif(transport._WRITES_AT_ONCE, reason="aiohttp writes by itself")
async def test_only_a_request_that_is_alone_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others leave together with what the same turn of the loop causes."""
    at_once = list[bool]()
    write = transport._write

    def note(*parts: object) -> None:
        frame = sys._getframe(1)
        at_once.append(frame.f_code.co_name == "send")
        write(*parts)  # type: ignore[arg-type]

    monkeypatch.setattr(transport, "_write", note)
    async with raw_server(*[OK] * 4) as server, LeadConnector("t", base_url=server.url) as client:
        await client.update_appointment("ev1", SMALL)
        await asyncio.gather(*(client.update_appointment("ev1", SMALL) for _ in range(2)))
        await client.update_appointment("ev1", SMALL)
    assert (at_once[0], at_once[-1], at_once.count(False)) == (True, True, 1)


async def test_a_small_body_takes_no_task() -> None:
    """A task takes longer than all of our own work on a call."""
    loop, started = asyncio.get_running_loop(), []

    def start(
        of: asyncio.AbstractEventLoop, work: Coroutine[object, object, object], **options: object
    ) -> asyncio.Task[object]:
        started.append(work)
        return asyncio.Task(work, loop=of, **options)  # type: ignore[arg-type]

    async with raw_server(OK, OK) as server, LeadConnector("t", base_url=server.url) as client:
        await client.update_appointment("ev1", SMALL)  # opening the connection takes tasks
        loop.set_task_factory(start)
        try:
            await client.update_appointment("ev1", SMALL)
        finally:
            loop.set_task_factory(None)
    assert (started, len(server.requests)) == ([], 2)


@pytest.mark.skipif(transport._WRITES_AT_ONCE, reason="aiohttp writes without waiting for the next turn")
async def test_a_connection_that_ends_right_before_the_write_was_sent_nothing() -> None:
    """The request waits for the next turn of the loop; if the connection ends until then, it goes to a new one."""
    async with raw_server(OK, OK, OK) as server:
        loop, events = asyncio.get_running_loop(), list[Event]()

        def cut() -> None:
            session = client._pipeline._attempts._shared.transport.session
            assert session is not None
            assert session.connector is not None
            for protocol in session.connector._acquired:
                protocol.transport.abort()

        def note(event: Event) -> None:
            events.append(event)
            if isinstance(event, RequestSent) and event.attempt == 1 and len(server.requests) == 1:
                loop.call_soon(cut)

        async with LeadConnector("t", base_url=server.url, retry=QUICK, on_event=note) as client:
            await client.update_appointment("ev1", SMALL)
            timer = client._pipeline._attempts._shared.timer
            other = timer.begin(loop, loop.time() + 60)  # a request that is alone does not wait
            await client.update_appointment("ev1", SMALL)
            other.end()
    [failed] = [event for event in events if isinstance(event, RequestFailed)]
    assert not failed.sent
    assert "could not be written" in failed.reason
    assert len(server.requests) == 2
