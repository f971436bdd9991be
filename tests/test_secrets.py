"""Nothing secret in any log line, repr, error or event."""

import contextlib
import copy
import gc
import logging
import pickle
import traceback
from contextlib import AbstractAsyncContextManager

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    Event,
    LeadConnector,
    LeadConnectorError,
    MemoryTokenStore,
    OAuthApp,
    RetryPolicy,
    StoredToken,
    TokenStoreError,
)
from leadconnector_async.auth import TokenSource
from leadconnector_async.sandbox import Sandbox

from .conftest import QUICK
from .raw_server import answer, raw_server

TOKEN = "pit-0123456789-very-secret"
GRANT = "grant-9876543210-very-secret"
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


class LeakyStore(MemoryTokenStore):
    """One of its methods fails, and its error tells whatever it knows."""

    def __init__(self, failing: str) -> None:
        super().__init__()
        self.failing = failing

    def fail_in(self, method: str) -> None:
        if method == self.failing:
            raise ValueError(f"bad row: {TOKEN} {GRANT}") from KeyError(TOKEN)

    async def load(self, key: str) -> StoredToken | None:
        self.fail_in("load")
        return await super().load(key)

    async def save(self, key: str, token: StoredToken) -> None:
        self.fail_in("save")
        await super().save(key, token)

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        self.fail_in("lock")
        return super().lock(key)


PAIR = b'{"access_token": "%s", "refresh_token": "%s", "locationId": "loc"}' % (TOKEN.encode(), GRANT.encode())


@pytest.mark.parametrize("failing", ["load", "save", "lock"])
@pytest.mark.parametrize("act", ["exchange", "renew"])
async def test_a_store_that_tells_the_tokens_gives_nothing_away(
    failing: str, act: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is in no chain of ours; its text is told only where the tokens in it are known."""
    caplog.set_level(logging.DEBUG)
    store = LeakyStore("")
    await store.save("loc", StoredToken(access_token="old-0123", refresh_token="old-4567", expires_at=1.0))
    store.failing = failing
    async with raw_server(answer(200, PAIR)) as server:
        app = OAuthApp("client", "secret-0123", base_url=server.url, store=store)
        with pytest.raises(TokenStoreError, match="the token store failed: ValueError") as caught:
            await (app.exchange_code("code") if act == "exchange" else app.provider("loc")())
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    seen = show(caught.value) + caplog.text
    assert TOKEN not in seen
    assert GRANT not in seen
    assert ("bad row: [redacted] [redacted]" in seen) == (failing == "save")


def test_no_object_of_ours_shows_a_token_in_its_repr() -> None:
    """Not the source of tokens, nor anything that holds it."""
    client = LeadConnector(TOKEN)
    for thing in [client, TokenSource(TOKEN), *gc.get_referents(client), client._pipeline, client._shared]:
        if not isinstance(thing, dict):
            assert TOKEN not in repr(thing)


async def test_what_holds_a_secret_and_connections_is_not_pickled() -> None:
    """Nor copied: two copies of a client would count one limit twice, and two of a store refresh one token."""
    app = OAuthApp("client", TOKEN)
    client = LeadConnector(TOKEN)
    for one in (client, client.with_options(priority="bulk"), app, app.provider("loc"), MemoryTokenStore()):
        for spread in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=f"a {type(one).__name__} cannot be pickled or copied"):
                spread(one)
