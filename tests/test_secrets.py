"""Nothing secret in any log line, repr, error or event."""

import contextlib
import gc
import logging
import traceback

import pytest

from leadconnector_async import AppointmentUpdate, Event, LeadConnector, LeadConnectorError, RetryPolicy
from leadconnector_async.auth import TokenSource
from leadconnector_async.sandbox import Sandbox

from .conftest import QUICK
from .raw_server import answer, raw_server

TOKEN = "pit-0123456789-very-secret"
UPDATE = AppointmentUpdate(title="x")
ECHOES = [
    answer(401, b'{"statusCode":401,"message":"Invalid Private Integration token ' + TOKEN.encode() + b'"}'),
    answer(403, b"<html>" + b"x" * 290 + b"Bearer " + TOKEN.encode() + b"</html>"),
    answer(422, b'{"message":["a ' + TOKEN.encode() + b'"],"traceId":"' + TOKEN.encode() + b'"}'),
    answer(503, TOKEN.encode(), f"x-echo: {TOKEN}"),
    b"HTTP/1.1 " + TOKEN.encode() + b"\r\n\r\n",
    b"",
    answer(200, TOKEN.encode()),
]


def show(error: BaseException | None) -> str:
    """All that can be seen of an error: text, repr, attributes, chain, traceback."""
    if error is None:
        return ""
    parts = [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    return "".join([*parts, show(error.__cause__), show(error.__context__)])


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("mode", ["retry", "raise"])
async def test_a_server_that_echoes_the_token_gives_nothing_away(
    echo: bytes, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it sends back, the token is in no error, event or log line."""
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    policy = RetryPolicy(max_attempts=2, backoff_base=0.001, on_ambiguous=mode)  # type: ignore[arg-type]
    async with raw_server(echo, echo) as server:
        async with LeadConnector(TOKEN, base_url=server.url, retry=policy, on_event=events.append) as client:
            with pytest.raises(LeadConnectorError) as caught:
                await client.update_appointment("ev1", UPDATE)
            seen = repr(client) + repr(client.with_options())
        assert TOKEN.encode() in server.requests[0]
    seen += show(caught.value) + repr(events) + caplog.text
    assert TOKEN not in seen
    assert TOKEN[4:20] not in seen


async def test_a_good_call_gives_nothing_away(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG of everything, asyncio and aiohttp included."""
    caplog.set_level(logging.DEBUG)
    async with Sandbox(appointments=1) as sandbox:
        events: list[Event] = []
        async with LeadConnector(
            sandbox.token, base_url=sandbox.url, retry=QUICK, on_event=events.append
        ) as client:
            appointment = await client.get_appointment(sandbox.appointment_ids[0])
            with contextlib.suppress(LeadConnectorError):
                await client.update_appointment("nobody", UPDATE)
        seen = (
            repr(client)
            + repr(sandbox)
            + repr(events)
            + repr(appointment)
            + caplog.text
            + repr(list(sandbox.requests))
        )
        assert caplog.records
        assert sandbox.token not in seen


def test_no_object_of_ours_shows_a_token_in_its_repr() -> None:
    """Not the source of tokens, nor anything that holds it."""
    client = LeadConnector(TOKEN)
    for thing in [client, TokenSource(TOKEN), *gc.get_referents(client), client._pipeline, client._shared]:
        if not isinstance(thing, dict):
            assert TOKEN not in repr(thing)
