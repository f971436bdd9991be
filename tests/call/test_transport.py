"""Phases and bounds of an attempt, on real sockets."""

import asyncio
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest

from leadconnector_async import (
    ApiError,
    AppointmentUpdate,
    ConfigurationError,
    DeadlineExceededError,
    DecodeError,
    LeadConnector,
    OutcomeUnknownError,
    RetryPolicy,
    Timeouts,
    TransportError,
)
from leadconnector_async.sandbox import Sandbox

from ..conftest import QUICK, MakeClient
from ..raw_server import answer, raw_server

UPDATE = AppointmentUpdate(title="x")
OK = answer(200, b'{"id":"ev1"}')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_refused_connection_was_never_sent() -> None:
    """It is repeated, also with `raise`, and in the end the write is known not to be applied."""
    policy = RetryPolicy(max_attempts=3, backoff_base=0.001, on_ambiguous="raise")
    async with LeadConnector("t", base_url=f"http://127.0.0.1:{free_port()}", retry=policy) as client:
        with pytest.raises(TransportError, match="never sent") as caught:
            await client.update_appointment("ev1", UPDATE)
    assert (caught.value.outcome, caught.value.attempts) == ("not_applied", 3)


async def test_a_server_that_does_not_speak_tls_gets_no_request() -> None:
    """The handshake is bounded, and what failed in it was never sent."""
    async with raw_server() as server:
        url, bounds = server.url.replace("http", "https"), Timeouts(connect=0.1)
        async with LeadConnector("t", base_url=url, retry=QUICK, timeouts=bounds) as client:
            with pytest.raises(TransportError, match="never sent"):
                await client.update_appointment("ev1", UPDATE)
        assert server.requests == []


async def test_a_kept_connection_that_drops_is_not_used_for_a_hidden_second_send() -> None:
    """aiohttp would send the PUT again by itself; here the second request is ours, counted and decided."""
    async with raw_server(OK, b"", OK) as server:
        policy = RetryPolicy(on_ambiguous="raise")
        async with LeadConnector("t", base_url=server.url, retry=policy) as client:
            await client.update_appointment("ev1", UPDATE)
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.update_appointment("ev1", UPDATE)
        assert caught.value.attempts == 1
        assert len(server.requests) == 2


async def test_aiohttp_itself_still_sends_it_twice() -> None:
    """The reason for the switch: the day this fails, the switch can go."""
    async with raw_server(OK, b"", OK) as server, aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.put(f"{server.url}/x", data=b"{}") as response:
                await response.read()
        assert len(server.requests) == 3


async def test_a_borrowed_session_lends_its_connections_and_stays_as_it_is(sandbox: Sandbox) -> None:
    """It is not closed, not changed, and its own headers and cookies are not sent along."""
    async with aiohttp.ClientSession(headers={"X-Foreign": "secret"}, cookies={"a": "b"}) as session:
        async with raw_server(OK) as server:
            async with LeadConnector("t", base_url=server.url, session=session) as client:
                await client.update_appointment("ev1", UPDATE)
            assert b"X-Foreign" not in server.requests[0]
            assert b"ookie" not in server.requests[0]
        assert not session.closed
        assert session._retry_connection is True
        async with session.get(sandbox.url) as response:
            assert response.status in (403, 404)


@pytest.mark.parametrize("used_before", [False, True])
async def test_a_borrowed_session_that_is_closed_is_said(sandbox: Sandbox, used_before: bool) -> None:
    """Before the first call and between two; nothing is opened on it."""
    async with aiohttp.ClientSession() as session:
        client = LeadConnector(sandbox.token, base_url=sandbox.url, session=session)
        if used_before:
            await client.get_appointment(sandbox.appointment_ids[0])
    with pytest.raises(ConfigurationError, match="the borrowed session is closed; keep it open"):
        await client.get_appointment(sandbox.appointment_ids[0])
    await client.aclose()


async def test_a_redirect_is_an_error_and_not_followed() -> None:
    """The token goes nowhere else."""
    async with raw_server(answer(307, b"", "location: http://127.0.0.1:9/elsewhere")) as server:
        async with LeadConnector("t", base_url=server.url) as client:
            with pytest.raises(ApiError, match="HTTP 307"):
                await client.update_appointment("ev1", UPDATE)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"id"',
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-encoding: gzip\r\n\r\nxyz",
    ],
)
async def test_a_success_without_its_whole_body_was_applied(bytes_sent: bytes) -> None:
    """The headers said so: never sent again."""
    async with raw_server(bytes_sent) as server:
        async with LeadConnector("t", base_url=server.url, retry=QUICK, timeouts=Timeouts(total=1.0)) as client:
            with pytest.raises(DecodeError) as caught:
                await client.update_appointment("ev1", UPDATE)
        assert (caught.value.outcome, caught.value.attempts) == ("applied", 1)


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    ],
)
async def test_an_answer_that_is_no_http_leaves_the_outcome_open(junk: bytes) -> None:
    """No crash, no error of aiohttp, and no request's headers in the error."""
    async with raw_server(junk) as server:
        policy = RetryPolicy(max_attempts=1)
        async with LeadConnector("pit-very-secret", base_url=server.url, retry=policy) as client:
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.update_appointment("ev1", UPDATE)
    assert "pit-very-secret" not in repr(caught.value) + str(caught.value) + repr(caught.value.__cause__)
    assert caught.value.__context__ is None


async def test_a_body_without_end_is_cut() -> None:
    """A server that never stops talking costs neither memory nor patience."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"
    async with raw_server(head + b" " * (34 * 2**20)) as server:
        async with LeadConnector("t", base_url=server.url, retry=QUICK) as client:
            with pytest.raises(DecodeError, match="larger than 32 MiB"):
                await client.update_appointment("ev1", UPDATE)


@pytest.mark.parametrize("deadline", [0.05, 0.2])
async def test_the_deadline_is_hard(sandbox: Sandbox, make_client: MakeClient, deadline: float) -> None:
    """It is over long before the answer comes, with the outcome open."""
    sandbox.faults.plan("update_appointment", ["stall 2"])
    client = make_client()
    await client.get_appointment(sandbox.appointment_ids[0])
    client = client.with_options(retry=RetryPolicy(deadline=deadline))
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(DeadlineExceededError) as caught:
        await client.update_appointment(sandbox.appointment_ids[0], UPDATE)
    assert loop.time() - began < 1.5
    assert (caught.value.outcome, caught.value.attempts) == ("unknown", 1)


async def test_a_deadline_passed_in_the_queue_sent_nothing(make_client: MakeClient, sandbox: Sandbox) -> None:
    """Waiting for a turn is part of the deadline; the outcome is certain."""
    from leadconnector_async.sandbox import Limits

    sandbox.limits = Limits(max_requests=1, interval=60.0)
    client = make_client(retry=RetryPolicy(deadline=0.1))
    await client.get_appointment(sandbox.appointment_ids[0])
    with pytest.raises(DeadlineExceededError) as caught:
        await client.update_appointment(sandbox.appointment_ids[0], UPDATE)
    assert (caught.value.outcome, caught.value.attempts) == ("not_applied", 0)
    assert len(sandbox.requests) == 1


async def test_a_back_off_does_not_outlive_the_deadline(make_client: MakeClient, sandbox: Sandbox) -> None:
    """A hint that passes it fails at once, and carries the hint."""
    sandbox.faults.plan("get_appointment", ["503 retry-after=30"])
    client = make_client(retry=RetryPolicy(deadline=5.0))
    with pytest.raises(ApiError) as caught:
        await client.get_appointment(sandbox.appointment_ids[0])
    assert (caught.value.retry_after, caught.value.attempts) == (30.0, 1)


async def test_a_cancelled_call_ends_at_once_and_loses_no_slot(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Wherever it is cancelled, the next calls find their slots."""
    from leadconnector_async.sandbox import Limits

    sandbox.limits = Limits(max_requests=2, interval=0.05)
    client = make_client()
    sandbox.faults.plan("update_appointment", ["stall 0.2"] * 5)
    for delay in (0.0, 0.001, 0.01, 0.03):
        task = asyncio.create_task(client.update_appointment(sandbox.appointment_ids[0], UPDATE))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(30):
        await asyncio.gather(*(client.get_appointment(sandbox.appointment_ids[0]) for _ in range(6)))


async def test_a_cancellation_from_outside_wins_over_a_timeout(sandbox: Sandbox, make_client: MakeClient) -> None:
    """`asyncio.timeout` of the caller stays the caller's."""
    sandbox.faults.plan("get_appointment", ["ok", "stall 1"])
    client = make_client(timeouts=Timeouts(connect=0.1, total=5))
    await client.get_appointment(sandbox.appointment_ids[0])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.get_appointment(sandbox.appointment_ids[0])


def test_one_client_serves_one_loop() -> None:
    """A second loop is told so, in words."""
    client = LeadConnector("t", base_url="http://127.0.0.1:9", retry=RetryPolicy(max_attempts=1))

    async def use() -> None:
        with pytest.raises(TransportError):
            await client.get_appointment("ev1")

    async def use_again() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await client.get_appointment("ev1")
        await client.aclose()

    asyncio.run(use())
    asyncio.run(use_again())


async def test_a_certificate_of_nobodys_is_refused() -> None:
    """TLS is verified, always: a self-signed server gets no request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parents[1] / "samples/self_signed.pem")
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(10))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with LeadConnector("t", base_url=f"https://127.0.0.1:{port}", retry=QUICK) as client:
        with pytest.raises(TransportError, match="certificate was rejected") as caught:
            await client.update_appointment("ev1", UPDATE)
    server.close()
    await server.wait_closed()
    assert (caught.value.attempts, caught.value.outcome, seen) == (1, "not_applied", [])
