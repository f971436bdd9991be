"""`leadconnector sandbox`: serves the local sandbox."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from typing import Annotated, Final

from cyclopts import App, Parameter

from ..exceptions import ConfigurationError
from ..sandbox import Limits, Sandbox
from .arguments import SANDBOX
from .errors import run_command
from .exit_codes import DONE, USAGE
from .interrupt import catch_interrupts

_LAST_PORT: Final = 65535


async def sandbox(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 1,
    locations: int = 1,
    appointments: int = 250,
    varied: bool = False,
    log_size: int = 10_000,
    max_requests: int = 100,
    interval: float = 10.0,
    per_app: bool = False,
    fault: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    webhook_url: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    webhook_hosts: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> int:
    """Serve the local sandbox until interrupted. Prints one JSON line with everything needed to connect.

    The line contains url, token, location_id and location_ids, and for several locations tokens by location id; for
    OAuth, the client_id and client_secret of an app, and a code to exchange; the admin_token; and with the extra
    `testing` or `webhooks` the webhook_key, the public key of its webhooks.

    Parameters
    ----------
    host
        IP address to listen on; 0.0.0.0 for all, in a container. Other machines can then reach it: its admin routes
        need the header X-Sandbox-Admin with the admin_token.
    port
        Port; 0 takes a free one.
    seed
        The same seed gives the same ids and data.
    locations
        Number of locations; the first has the same ids and data in any case.
    appointments
        Single appointments of each location.
    varied
        Add calendars of every type to each location: personal, collective, class bookings and others.
    log_size
        Number of requests that `GET /_sandbox/requests` returns, the newest.
    max_requests
        Requests allowed in a window.
    interval
        Length of the window, in seconds.
    per_app
        Count the requests of each app by themselves: those of the OAuth app, and those of private tokens.
    fault
        A fault to script, such as `update_appointment=503`; may be repeated.
    webhook_url
        Where to send a signed webhook for each change of an appointment; may be repeated.
    webhook_hosts
        Another host than loopback that webhooks may be sent to, such as the name of a container; may be repeated.

    """
    try:
        if not 0 <= port <= _LAST_PORT:
            raise ValueError(f"--port {port}: it must be between 0 and {_LAST_PORT}")  # noqa: TRY301 - as the others
        server = Sandbox(
            host=host,
            port=port,
            seed=seed,
            appointments=appointments,
            locations=locations,
            varied=varied,
            log_size=log_size,
            limits=Limits(max_requests=max_requests, interval=interval, per_app=per_app),
            faults=_read_faults(fault),
            webhook_hosts=webhook_hosts,
        )
        for url in webhook_url:
            server.webhooks.subscribe(url)
    except ValueError as error:
        print(error, file=sys.stderr)
        return USAGE
    return await run_command(partial(_serve, server, signs=bool(webhook_url)))


def register(app: App) -> None:
    """Add the command."""
    app.command(sandbox, group=SANDBOX)


async def _serve(server: Sandbox, *, signs: bool) -> int:
    """Until Ctrl-C. Raises `ConfigurationError` if it is to sign webhooks and cannot."""
    described = _describe(server)
    try:
        described["webhook_key"] = server.webhook_key
    except ConfigurationError:
        if signs:
            raise
    stopped = asyncio.Event()

    def stop() -> str:
        stopped.set()
        return ""

    async with server:
        with catch_interrupts(stop):
            print(json.dumps({"url": server.url, **described}), flush=True)
            await stopped.wait()
    return DONE


def _describe(server: Sandbox) -> dict[str, object]:
    """What another process must know to use it."""
    first, *others = server.location_ids
    described: dict[str, object] = {
        "token": server.token,
        "location_id": first,
        "location_ids": server.location_ids,
        "admin_token": server.admin_token,
        "client_id": server.client_id,
        "client_secret": server.client_secret,
        "code": server.issue_code(),
    }
    if others:
        described["tokens"] = {first: server.token} | {one: server.issue_token(location_id=one) for one in others}
    return described


def _read_faults(texts: tuple[str, ...]) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    for text in texts:
        operation, equals, fault = text.partition("=")
        if not equals:
            raise ValueError(f"--fault {text!r}: write OPERATION=FAULT, such as update_appointment=503")
        faults.setdefault(operation, []).append(fault)
    return faults
