"""The token endpoints: one request, retried if its response is lost.

A refresh token works once, but for about 30 seconds it works again for the same client [doc]. So the request is
retried at once if its response is lost, and all tries fit in that time: after it, a lost response means a lost
token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import aiohttp
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from .._api.operations import Operation
from .._api.request import Request
from .._call.proxy import find_proxy
from .._call.reply import NoResponse, Progress, RawResponse, describe_cut
from .._call.transport import Transport, build_timeout
from .._secret import Secret
from .._version import __version__
from ..exceptions import LeadConnectorError, ServerError, TransportError
from ..policy import Timeouts
from .codec import (
    OAUTH_LOCATION_TOKEN,
    OAUTH_TOKEN,
    TokenResponse,
    build_token_request,
    find_token_refusal,
    hide,
    is_stray,
    read_token,
    read_token_refusal,
)

_MOST_TRIES: Final = 3
_STRAY_PAUSE: Final = 1.0
"""Seconds before a refusal that may be stray is retried."""
_PAUSE: Final = 0.5
"""Seconds before a further retry; the first one after a lost response is immediate."""
_VERSION: Final = "2021-07-28"
_HEADERS: Final = {
    "Version": _VERSION,
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept": "application/json",
    "User-Agent": f"leadconnector_async/{__version__}",
}


class AppKeys(Struct, frozen=True):
    """The credentials of the app."""

    client_id: str
    client_secret: Secret

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.client_id!r}>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("client_id", self.client_id)]


class _Failure(Struct, frozen=True):
    error: LeadConnectorError
    lost: bool = False
    """The response is lost or unreadable: the server may have used the grant up."""
    transient: bool = False
    """It may succeed later."""
    stray: bool = False
    """It may not be meant for this request: worth one more try."""


class TokenEndpoint:
    """The two token endpoints of a server. Opens a connection for each call: about one per day and location."""

    def __init__(
        self, base_url: URL, keys: AppKeys, *, timeouts: Timeouts, session: aiohttp.ClientSession | None
    ) -> None:
        self.base_url = base_url
        self._keys = keys
        self._timeouts = timeouts
        self._session = session
        self._way = find_proxy(base_url, session)

    async def ask(self, owner: str, form: Mapping[str, str | None]) -> TokenResponse:
        """Exchange a code or a refresh token. `owner` names its location or agency in errors."""
        keys = {"client_id": self._keys.client_id, "client_secret": self._keys.client_secret}
        secrets = [text for name in ("code", "refresh_token") if (text := form.get(name))]
        return await self._ask(owner, OAUTH_TOKEN, {**keys, **form}, secrets)

    async def ask_for_location(self, agency_token: str, company_id: str, location_id: str) -> TokenResponse:
        """Get a location's token with an agency's."""
        form = {"companyId": company_id, "locationId": location_id}
        owner = f"location {location_id}"
        return await self._ask(owner, OAUTH_LOCATION_TOKEN, form, [agency_token], agency_token)

    async def _ask(
        self,
        owner: str,
        operation: Operation,
        form: Mapping[str, str | None],
        secrets: list[str],
        token: str | None = None,
    ) -> TokenResponse:
        secrets = [*secrets, self._keys.client_secret]
        headers = CIMultiDict(
            _HEADERS if token is None else {**_HEADERS, "Authorization": Secret(f"Bearer {token}")}
        )
        request = build_token_request(operation, form)
        transport = Transport(self.base_url, self._session, self._way)
        try:
            error = await self._repeat(transport, request, headers, owner, secrets)
        finally:
            await transport.close()
        if isinstance(error, TokenResponse):
            return error
        hide(error, secrets)
        error.outcome = "not_applied"  # asking for a token changes nothing in a calendar
        error.operation = operation.name
        raise error from None

    async def _repeat(
        self,
        transport: Transport,
        request: Request[TokenResponse],
        headers: CIMultiDict[str],
        owner: str,
        secrets: list[str],
    ) -> TokenResponse | LeadConnectorError:
        tries = 0
        while True:
            tries += 1
            reply = await self._send(transport, request, headers)
            outcome = _read_reply(request, reply, owner, secrets)
            if isinstance(outcome, TokenResponse):
                return outcome
            retries = tries < _MOST_TRIES if outcome.transient else outcome.stray and tries == 1
            if not retries:
                outcome.error.attempts = tries
                return outcome.error
            pause = _STRAY_PAUSE if outcome.stray else _PAUSE * tries
            await asyncio.sleep(0 if outcome.lost and tries == 1 else pause)

    async def _send(
        self, transport: Transport, request: Request[TokenResponse], headers: CIMultiDict[str]
    ) -> RawResponse | NoResponse:
        session = transport.open(asyncio.get_running_loop())
        bounds = build_timeout(self._timeouts)
        progress = Progress()
        scope = asyncio.timeout(self._timeouts.total)
        try:
            async with scope:
                return await transport.send(session, request, headers, bounds, progress)
        except TimeoutError:
            if not scope.expired():
                raise
        return describe_cut(progress, f"no complete response within {self._timeouts.total:g} s")


def _read_reply(
    request: Request[TokenResponse], reply: RawResponse | NoResponse, owner: str, secrets: list[str]
) -> TokenResponse | _Failure:
    if isinstance(reply, NoResponse):
        error = TransportError(f"The token endpoint did not respond for {owner}: {reply.reason}. {_UNCHANGED}")
        return _Failure(error, lost=True, transient=not reply.certificate)
    if not 200 <= reply.status < 300:
        return _classify_refusal(request, reply.status, reply.body, owner, secrets)
    if reply.fault:
        got = f"The token endpoint's response (HTTP {reply.status}) for {owner} is incomplete"
        reason = f"{got}: {reply.fault}. {_UNCHANGED}"
        return _Failure(TransportError(reason, status=reply.status), lost=True, transient=True)
    response = read_token(request, reply.status, reply.body)
    if isinstance(response, TokenResponse):
        return response
    if (status := find_token_refusal(reply.status, reply.body)) is not None:
        return _classify_refusal(request, status, reply.body, owner, secrets)
    return _Failure(response, lost=True, transient=True)


def _classify_refusal(
    request: Request[TokenResponse], status: int, body: bytes, owner: str, secrets: list[str]
) -> _Failure:
    refusal = read_token_refusal(status, body, owner, secrets)
    transient = refusal.transient or isinstance(refusal, ServerError)
    renewable = request.operation is OAUTH_LOCATION_TOKEN
    return _Failure(refusal, transient=transient, stray=is_stray(refusal, body, renewable=renewable))


_UNCHANGED: Final = "The stored token is unchanged; call again soon."
