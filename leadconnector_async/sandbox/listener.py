"""The sockets of the sandbox: a port, who may use it, and what goes wrong on the way back."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from http import HTTPStatus

import msgspec
from aiohttp import web

from ..exceptions import ConfigurationError
from . import page
from .admin import Admin
from .app import Response, SandboxApp
from .guard import HEADERS, PREFIX, Denial, Guard


class Listener:
    """Serves an app on a port."""

    def __init__(self, app: SandboxApp, admin: Admin, guard: Guard, host: str, port: int) -> None:
        self._app = app
        self._admin = admin
        self._guard = guard
        self._host = host
        self._port = port
        self._runner: web.ServerRunner | None = None

    async def start(self) -> int:
        """Listen; returns the port. Raises `ConfigurationError` if it cannot be had."""
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            await runner.cleanup()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise ConfigurationError(
                f"the sandbox cannot listen on port {self._port} of {self._host} ({reason}): choose another one; "
                "port 0 is any that is free"
            ) from None
        self._runner = runner
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and all connections."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if denial := self._guard.check_host(request.headers):
            return _deny(denial)
        target = request.raw_path  # as it came, so that nothing here reads it differently from what checks it
        path = target.partition("?")[0]
        if path.startswith(PREFIX):
            return await self._administer(request, path)
        if page.wants_page(request.method, path, request.headers.get("Accept", "")):
            return page.send_page(is_signed_in=self._guard.is_signed_in(request.headers))
        return await self._serve(request, target)

    async def _serve(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """The API's response, or what is left of it."""
        body = await request.read()
        now = asyncio.get_running_loop().time()
        response = self._app.receive(request.method, path, request.headers, body, now)
        match response.fault.kind:
            case "reset" | "lose-response":
                return _cut(request)
            case "late":
                self._apply_later(response)
                return _cut(request)
            case "cut":
                return _send_some(request, response)
            case "half-body":
                return await _send_half(request, response)
            case "stall":
                await asyncio.sleep(response.fault.seconds)
            case _:
                pass
        return web.Response(status=response.status, headers=response.headers, body=response.body)

    async def _administer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        file = page.find_file(path) if request.method == "GET" else None
        if file and path in page.OPEN_FILES:
            return file
        if denial := self._guard.check_admin(request.method, request.headers):
            return _deny(denial)
        match request.method, path:
            case _ if file:
                return file
            case "GET", page.LIVE:
                return await self._stream(request)
            case "POST", page.SESSION:
                return page.sign_in(self._guard, request.headers.get("Host", ""))
            case _:
                status, content = self._admin.respond(request.method, path, await request.read())
                return _send_json(status, content)

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            feed = page.open_feed(self._app, request.raw_path)
        except ValueError as error:
            return _deny(Denial(400, str(error)))
        return await page.stream(request, feed)

    def _apply_later(self, response: Response) -> None:
        loop = asyncio.get_running_loop()
        if (apply := response.apply) is not None:
            loop.call_later(response.fault.seconds, lambda: apply(loop.time()))


def _deny(denial: Denial) -> web.Response:
    return _send_json(denial.status, msgspec.json.encode({"error": denial.error}))


def _send_json(status: int, content: bytes) -> web.Response:
    return web.Response(status=status, body=content, content_type="application/json", headers=HEADERS)


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _send_some(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    """The first bytes of the response as it is on the wire, then the end of the connection."""
    headers = {**response.headers, "content-length": str(len(response.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n{lines}\r\n".encode()
    if request.transport is not None:
        request.transport.write((head + response.body)[: response.fault.count])
        request.transport.close()
    return web.Response()


async def _send_half(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    half = web.StreamResponse(status=response.status, headers=response.headers)
    half.content_length = len(response.body)
    with suppress(ConnectionResetError):  # the client may have disconnected
        await half.prepare(request)
        await half.write(response.body[: len(response.body) // 2])
    return _cut(request)
