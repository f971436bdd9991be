"""What an agency's token reads: where the app is installed. Retried and paced as the calls of a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from yarl import URL

from .._api.installs import LIST_INSTALLED, build_list_installed
from .._api.lists import list_lost
from .._call.attempt import Attempts, Shared
from .._call.creations import Creations
from .._call.emit import EventEmitter
from .._call.pipeline import Pipeline
from .._call.proxy import find_proxy
from .._call.timeouts import AttemptTimer
from .._call.transport import Transport
from .._limiter.lane import CLOCK_LAG
from .._limiter.limiter import Limiter
from .._settings import build_headers
from ..auth import TokenSource
from ..exceptions import DecodeError
from ..models import InstalledLocation
from ..policy import RateLimit, RetryPolicy, Timeouts


class AgencyCalls:
    """Opens connections for one call, as the token endpoint does; the limiter is kept."""

    def __init__(self, base_url: URL, session: aiohttp.ClientSession | None) -> None:
        self._base_url = base_url
        self._session = session
        self._route = find_proxy(base_url, session)
        self._limiter = Limiter(RateLimit(), CLOCK_LAG)

    @asynccontextmanager
    async def open(self, tokens: TokenSource, company_id: str) -> AsyncGenerator[Pipeline]:
        """A pipeline for the calls of one agency."""
        transport, timer = Transport(self._base_url, self._session, self._route), AttemptTimer()
        creations, emitter = Creations(), EventEmitter(None, company_id)
        attempts = Attempts(
            Shared(transport, self._limiter, tokens, timer, creations),
            location_id=company_id,
            headers=build_headers(str(LIST_INSTALLED.version), None),
            timeouts=Timeouts(),
            emitter=emitter,
            bulk=False,
        )
        try:
            yield Pipeline(attempts, creations, policy=RetryPolicy(), emitter=emitter)
        finally:
            await transport.close()
            timer.close(asyncio.get_running_loop())


_LOST: Final = "of the installed locations cannot be read."


async def list_installed(pipeline: Pipeline, company_id: str, app_id: str) -> list[InstalledLocation]:
    """Read page after page, until one brings nothing new: how many there are is not shown.

    Raises `DecodeError` for an entry that cannot be read: without it, the list looks complete.
    """
    found: dict[str, InstalledLocation] = {}
    seen = 0
    while True:
        response = await pipeline.call(build_list_installed(company_id, app_id, seen))
        lost = len(list_lost("locations", response.unread))
        if lost or not all(one.id for one in response.value):
            text = f"{lost or 'Some'} {_LOST}"
            raise DecodeError(text, operation=LIST_INSTALLED.name, status=response.status, outcome="not_applied")
        new = {one.id: one for one in response.value if one.id and one.id not in found}
        if not new:
            return [one for one in found.values() if one.is_installed is not False]
        found |= new
        seen += len(response.value)
