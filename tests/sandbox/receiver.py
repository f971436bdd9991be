"""A receiver of webhooks: keeps what it got, and responds with what it is told to."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from leadconnector_async.webhooks import WebhookEvent, WebhookVerifier


class Received(NamedTuple):
    body: bytes
    headers: dict[str, str]


class Receiver:
    def __init__(self) -> None:
        self.url = ""
        self.got: list[Received] = []
        self.statuses: list[int] = []
        """Of the next responses; 200 after them."""

    async def serve(self, request: web.Request) -> web.Response:
        self.got.append(Received(await request.read(), dict(request.headers)))
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers={"Location": self.url} if 300 <= status < 400 else {})

    def verify(self, key: str) -> list[WebhookEvent]:
        """All of them, as a receiver with this key sees them."""
        verifier = WebhookVerifier(key)
        return [verifier.verify(one.body, one.headers) for one in self.got]

    @property
    def bodies(self) -> list[bytes]:
        return [one.body for one in self.got]


@asynccontextmanager
async def serve_receiver(statuses: Iterable[int] = ()) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    receiver.statuses.extend(statuses)
    app = web.Application()
    app.router.add_post("/webhooks", receiver.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
    try:
        yield receiver
    finally:
        await runner.cleanup()
