"""Webhooks of backends: whose are processed, how often, and what happens to the tokens of an app."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from leadconnector_async import (
    ConfigurationError,
    LeadConnector,
    OAuthApp,
    ReconnectRequiredError,
    Shared,
    StoreUnavailableError,
)
from leadconnector_async.integrations import fastapi
from leadconnector_async.integrations.starlette import Backend, install_error_handlers
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.sandbox.signing import SignedWebhook
from leadconnector_async.webhooks import WebhookEvent

from .backends import allow, serve

Handle = Callable[[WebhookEvent], Awaitable[None]]


class Receiver:
    """An application that takes webhooks, and what reached its handler."""

    def __init__(self) -> None:
        self.events: list[WebhookEvent] = []
        self.failing = 0
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def handle(self, event: WebhookEvent) -> None:
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            self.failing -= 1
            raise RuntimeError("the database of the user is down")
        self.events.append(event)

    def on_starlette(self, backend: Backend) -> Starlette:
        async def respond(request: Request) -> Response:
            async with backend.receive_webhook(request) as event:
                await self.handle(event)
            return PlainTextResponse("done")

        app = Starlette(routes=[Route("/webhooks", respond, methods=["POST"])], lifespan=backend.lifespan)
        install_error_handlers(app)
        return app

    def on_fastapi(self, backend: fastapi.Backend) -> FastAPI:
        app = FastAPI(lifespan=backend.lifespan)
        install_error_handlers(app)

        @app.post("/webhooks")
        async def respond(event: Annotated[WebhookEvent, Depends(backend.webhook)]) -> str:
            await self.handle(event)
            return "done"

        return app


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def make_backend(sandbox: Sandbox, kind: Any = Backend, **options: Any) -> Any:
    if "oauth" not in options:
        options |= {"token": sandbox.token, "location_id": sandbox.location_id}
    return kind(base_url=sandbox.url, authorize=allow, webhook_key=sandbox.webhook_key, **options)


@pytest.fixture(params=["starlette", "fastapi"])
async def browser(
    request: pytest.FixtureRequest, receiver: Receiver, sandbox: Sandbox
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a backend with a private token, on either framework."""
    if request.param == "starlette":
        app: Any = receiver.on_starlette(make_backend(sandbox))
    else:
        app = receiver.on_fastapi(make_backend(sandbox, fastapi.Backend))
    async with serve(app, raise_app_exceptions=False) as client:
        yield client


async def deliver(browser: httpx.AsyncClient, webhook: SignedWebhook) -> int:
    response = await browser.post("/webhooks", content=webhook.body, headers=webhook.headers)
    return response.status_code


async def test_an_event_is_processed_once(browser: httpx.AsyncClient, receiver: Receiver, sandbox: Sandbox) -> None:
    """Further deliveries are acknowledged; another event is another one."""
    webhook = sandbox.make_webhook()
    assert [await deliver(browser, webhook) for _ in range(3)] == [200, 204, 204]
    assert await deliver(browser, sandbox.make_webhook()) == 200
    assert [event.type for event in receiver.events] == ["AppointmentUpdate"] * 2
    assert receiver.events[0].appointment is not None


async def test_a_handler_that_fails_gets_the_event_again(
    browser: httpx.AsyncClient, receiver: Receiver, sandbox: Sandbox
) -> None:
    """As often as it fails; the response is not a success until then."""
    receiver.failing = 2
    webhook = sandbox.make_webhook()
    assert [await deliver(browser, webhook) for _ in range(4)] == [500, 500, 200, 204]
    assert len(receiver.events) == 1


async def test_a_delivery_that_is_being_processed_is_not_acknowledged(
    browser: httpx.AsyncClient, receiver: Receiver, sandbox: Sandbox
) -> None:
    """If the first one fails, HighLevel has to send the event again."""
    receiver.gate, receiver.failing = asyncio.Event(), 1
    webhook = sandbox.make_webhook()
    first = asyncio.create_task(deliver(browser, webhook))
    await receiver.entered.wait()
    second = await browser.post("/webhooks", content=webhook.body, headers=webhook.headers)
    assert (second.status_code, second.headers["retry-after"]) == (503, "10")
    assert second.json()["code"] == "webhook_busy"
    receiver.gate.set()
    assert await first == 500
    assert await deliver(browser, webhook) == 200


async def test_what_is_not_signed_is_refused(
    browser: httpx.AsyncClient, receiver: Receiver, sandbox: Sandbox
) -> None:
    """Nor what is signed, but altered or too old; a body that cannot be read is acknowledged."""
    webhook = sandbox.make_webhook()
    unsigned = await browser.post("/webhooks", content=webhook.body)
    assert (unsigned.status_code, unsigned.json()["code"]) == (403, "webhook_signature")
    assert await deliver(browser, webhook.alter()) == 403
    assert await deliver(browser, sandbox.make_webhook(age=301)) == 403
    other = Sandbox(seed=99).make_webhook(location_id=sandbox.location_id)
    assert await deliver(browser, other) == 403
    assert receiver.events == []


async def test_events_of_others_are_not_processed(
    browser: httpx.AsyncClient, receiver: Receiver, sandbox: Sandbox
) -> None:
    """One key signs for all apps and locations: they are acknowledged, so that they are not sent again."""
    assert await deliver(browser, sandbox.make_webhook(location_id="another")) == 204
    assert await deliver(browser, sandbox.make_webhook("INSTALL", location_id="another")) == 204
    assert receiver.events == []


async def test_a_large_body_is_refused_before_it_was_read(
    browser: httpx.AsyncClient, receiver: Receiver, sandbox: Sandbox
) -> None:
    """Whatever length it claims, or none."""
    read = 0

    async def send() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1_000):
            read += 100_000
            yield b"x" * 100_000

    response = await browser.post("/webhooks", content=send(), headers=sandbox.make_webhook().headers)
    assert (response.status_code, response.json()["code"]) == (413, "webhook_too_large")
    assert read < 3_000_000


async def test_a_sender_who_disconnects_leaves_nothing_behind(receiver: Receiver, sandbox: Sandbox) -> None:
    """Half a body is not an event, and not an error of the application; the whole one is processed later."""
    backend = make_backend(sandbox)
    app = receiver.on_starlette(backend)
    webhook = sandbox.make_webhook()
    messages = iter(
        [{"type": "http.request", "body": webhook.body[:20], "more_body": True}, {"type": "http.disconnect"}]
    )
    headers = [(name.lower().encode(), value.encode()) for name, value in webhook.headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/webhooks", "query_string": b"", "headers": headers}
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    async with serve(app) as browser:
        await app(scope, receive, send)
        assert sent[0]["status"] == 400
        assert await deliver(browser, webhook) == 200


@pytest.fixture
async def workers(receiver: Receiver, sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Three of one service, which share a store."""
    async with AsyncExitStack() as stack:
        browsers: list[httpx.AsyncClient] = []
        for _ in range(3):
            backend = make_backend(sandbox, shared=Shared(f"sqlite:///{tmp_path}/shared.db"))
            app = receiver.on_starlette(backend)
            browsers.append(await stack.enter_async_context(serve(app, raise_app_exceptions=False)))
        yield browsers


async def test_workers_that_share_a_store_process_an_event_once(
    workers: list[httpx.AsyncClient], receiver: Receiver, sandbox: Sandbox
) -> None:
    """Deliveries at the same time included: all but one are told to come back, or that it was processed."""
    webhooks = [sandbox.make_webhook() for _ in range(5)]
    for webhook in webhooks:
        statuses = await asyncio.gather(*[deliver(browser, webhook) for browser in workers for _ in range(3)])
        assert sorted(statuses)[0] == 200
        assert set(statuses[1:]) <= {200, 204, 503}
        assert statuses.count(200) == 1
    for webhook in webhooks:
        assert [await deliver(browser, webhook) for browser in workers] == [204] * 3
    assert [event.webhook_id for event in receiver.events] == [one.webhook_id for one in webhooks]


async def test_another_worker_processes_what_failed(
    workers: list[httpx.AsyncClient], receiver: Receiver, sandbox: Sandbox
) -> None:
    """At once, although the lease has not ended."""
    receiver.failing = 1
    webhook = sandbox.make_webhook()
    assert [await deliver(browser, webhook) for browser in workers] == [500, 200, 204]


async def test_without_the_store_nothing_is_acknowledged(
    workers: list[httpx.AsyncClient], receiver: Receiver, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might be processed twice; HighLevel sends it again."""
    from leadconnector_async._sharing.sqlite_keys import SQLiteKeys

    async def fail(*values: object, **options: object) -> None:
        raise StoreUnavailableError("the disk is full")

    webhook = sandbox.make_webhook()
    with monkeypatch.context() as patch:
        patch.setattr(SQLiteKeys, "read", fail)
        assert await deliver(workers[0], webhook) == 503
    assert await deliver(workers[0], webhook) == 200


@pytest.fixture
async def oauth(sandbox: Sandbox) -> OAuthApp:
    """Of an agency, with one location."""
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url)
    await app.exchange_code(sandbox.issue_code(user_type="Company"), user_type="Company")
    await app.exchange_code(sandbox.issue_code(location_id="second"))
    return app


async def test_an_install_makes_a_location_known(oauth: OAuthApp, receiver: Receiver, sandbox: Sandbox) -> None:
    """It gets its token from the agency's; before, its events are not processed."""
    app = receiver.on_starlette(make_backend(sandbox, oauth=oauth))
    async with serve(app) as browser:
        update = sandbox.make_webhook()
        assert await deliver(browser, update) == 204
        assert not await oauth.is_connected(sandbox.location_id)
        assert await deliver(browser, sandbox.make_webhook("INSTALL")) == 200
        assert await oauth.is_connected(sandbox.location_id)
        assert await deliver(browser, update) == 200
        assert await oauth.provider(sandbox.location_id)()
    assert [event.type for event in receiver.events] == ["INSTALL", "AppointmentUpdate"]


async def test_an_uninstall_removes_the_tokens(oauth: OAuthApp, receiver: Receiver, sandbox: Sandbox) -> None:
    """Of that location: its events are not processed any more, and the user has to connect again."""
    await oauth.provider("second")()
    async with serve(receiver.on_starlette(make_backend(sandbox, oauth=oauth))) as browser:
        assert await deliver(browser, sandbox.make_webhook("UNINSTALL", location_id="second")) == 200
        assert not await oauth.is_connected("second")
        assert await oauth.is_connected(sandbox.company_id)
        with pytest.raises(ReconnectRequiredError):
            await oauth.provider("second")()
        assert await deliver(browser, sandbox.make_webhook(location_id="second")) == 204
    await oauth.exchange_code(sandbox.issue_code(location_id="second"))
    assert await oauth.is_connected("second")


async def test_an_agency_that_leaves_loses_its_token(oauth: OAuthApp, receiver: Receiver, sandbox: Sandbox) -> None:
    """Its `UNINSTALL` names no location."""
    gone = sandbox.make_webhook("UNINSTALL", {"locationId": None})
    async with serve(receiver.on_starlette(make_backend(sandbox, oauth=oauth))) as browser:
        assert await deliver(browser, gone) == 200
    assert not await oauth.is_connected(sandbox.company_id)
    assert await oauth.is_connected("second")


@pytest.mark.parametrize("fields", [{"appId": "of-somebody-else"}, {"appId": None}, {"appId": ""}])
async def test_another_app_removes_nothing(
    fields: dict[str, object], oauth: OAuthApp, receiver: Receiver, sandbox: Sandbox
) -> None:
    """Whoever installs and removes an app of their own has a signed webhook that names their location."""
    async with serve(receiver.on_starlette(make_backend(sandbox, oauth=oauth))) as browser:
        webhook = sandbox.make_webhook("UNINSTALL", fields, location_id="second")
        assert await deliver(browser, webhook) == 204
    assert await oauth.is_connected("second")
    assert receiver.events == []


async def test_a_late_uninstall_leaves_newer_tokens(oauth: OAuthApp, receiver: Receiver, sandbox: Sandbox) -> None:
    """It was sent before the app was connected again."""
    late = sandbox.make_webhook("UNINSTALL", location_id="second", age=60)
    async with serve(receiver.on_starlette(make_backend(sandbox, oauth=oauth))) as browser:
        assert await deliver(browser, late) == 200
    assert await oauth.is_connected("second")


async def test_an_install_that_fails_is_delivered_again(
    oauth: OAuthApp, receiver: Receiver, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler is called only once the location has its token."""
    obtain, calls = oauth.location_token, 0

    async def fail_once(company_id: str, location_id: str) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreUnavailableError("down")
        return await obtain(company_id, location_id)

    monkeypatch.setattr(oauth, "location_token", fail_once)
    webhook = sandbox.make_webhook("INSTALL")
    async with serve(receiver.on_starlette(make_backend(sandbox, oauth=oauth))) as browser:
        assert [await deliver(browser, webhook) for _ in range(3)] == [503, 200, 204]
    assert len(receiver.events) == 1


async def test_a_backend_that_could_only_ignore_webhooks_does_not_start(oauth: OAuthApp, sandbox: Sandbox) -> None:
    """It would acknowledge all of them, because none is for a location of its own."""
    async with LeadConnector(oauth, base_url=sandbox.url) as client:
        backend = Backend(client=client, authorize=allow, webhook_key=sandbox.webhook_key)
        with pytest.raises(ConfigurationError, match="oauth="):
            async with backend.lifespan():
                pass


async def test_a_backend_without_a_key_takes_no_webhooks(receiver: Receiver, sandbox: Sandbox) -> None:
    """The error names what to pass; what is not a key is refused when the backend is created."""
    backend = Backend(token=sandbox.token, location_id="here", authorize=allow)
    app = receiver.on_starlette(backend)
    async with serve(app) as browser:
        assert await deliver(browser, sandbox.make_webhook()) == 500
    other = Ed25519PrivateKey.generate().private_bytes_raw()
    with pytest.raises(ConfigurationError, match="public key in PEM"):
        Backend(token=sandbox.token, location_id="here", authorize=allow, webhook_key=other)
    pem = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert Backend(token=sandbox.token, location_id="here", authorize=allow, webhook_key=pem)
