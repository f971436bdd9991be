"""The sockets of the sandbox: aiohttp's low level server around the desk.

Rule: only this file touches a connection, and only loopback is listened on.

Must not decide anything that the desk can decide.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TypeAlias

import msgspec
from aiohttp import web
from msgspec import Struct

from .desk import Desk, Reply
from .limits import Limits


class FaultPlan(Struct, frozen=True):
    """Body of `POST /_sandbox/faults`."""

    operation: str
    faults: list[str]


class Advance(Struct, frozen=True):
    """Body of `POST /_sandbox/clock`."""

    seconds: float


AdminAnswer: TypeAlias = "dict[str, object] | list[object]"


class Listener:
    """Serves a desk on a port of loopback until it is stopped."""

    def __init__(self, desk: Desk, host: str, port: int) -> None:
        self._desk = desk
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
        if path.startswith("/_sandbox/"):
            return self._administer(request.method, path.partition("?")[0].removeprefix("/_sandbox/"), body)
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

    def _administer(self, method: str, name: str, body: bytes) -> web.Response:
        """The admin routes, for other processes: no token, loopback only."""
        try:
            answer = self._run_admin(method, name, body)
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    def _run_admin(self, method: str, name: str, body: bytes) -> AdminAnswer:
        match method, name:
            case "POST", "faults":
                plan = msgspec.json.decode(body, type=FaultPlan)
                self._desk.faults.plan(plan.operation, plan.faults)
                return {"planned": len(plan.faults)}
            case "GET", "faults":
                return {key: [str(fault) for fault in faults] for key, faults in self._desk.faults.unused().items()}
            case "POST", "clock":
                advance = msgspec.json.decode(body, type=Advance)
                self._desk.advance(advance.seconds)
                return {"advanced": advance.seconds}
            case "POST", "limits":
                self._desk.limits = msgspec.json.decode(body, type=Limits)
                return {"max_requests": self._desk.limits.max_requests}
            case "GET", "requests":
                return list(self._desk.requests)
            case _:
                raise KeyError(f"no admin route {method} {name}")


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
