"""The sockets of the sandbox: aiohttp's low level server around the desk.

Rule: only this file touches a connection, and only loopback is listened on.

Must not decide anything that the desk or the admin routes can decide.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from .admin import PREFIX, Admin
from .desk import Desk, Reply


class Listener:
    """Serves a desk on a port of loopback until it is stopped."""

    def __init__(self, desk: Desk, admin: Admin, host: str, port: int) -> None:
        self._desk = desk
        self._admin = admin
        self._host = host
        self._port = port
        self._runner: web.ServerRunner | None = None

    async def start(self) -> int:
        """Listen; returns the port."""
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, self._host, self._port).start()
        self._runner = runner
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and all connections."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path
        body = await request.read()
        if path.startswith(PREFIX):
            status, answer = self._admin.answer(request.method, path.partition("?")[0], body)
            return web.Response(status=status, body=answer, content_type="application/json")
        now = asyncio.get_running_loop().time()
        reply = self._desk.receive(request.method, path, request.headers, body, now)
        match reply.fault.kind:
            case "reset" | "lose-answer":
                return _cut(request)
            case "half-body":
                return await _send_half(request, reply)
            case "stall":
                await asyncio.sleep(reply.fault.seconds)
            case _:
                pass
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _send_half(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    with suppress(ConnectionResetError):  # the client may have gone
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
    return _cut(request)
