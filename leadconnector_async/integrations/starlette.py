"""A backend on Starlette: its client, the locations that a request may use, and its lifespan.

Needs Starlette only. `integrations.fastapi` adds what FastAPI needs.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, ForwardRef, Literal, TypeAlias, Unpack, cast

import msgspec
from msgspec import Struct

try:
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "this needs Starlette: pip install 'leadconnector-async[fastapi]', or starlette alone", name=error.name
    ) from error

from .._call.base_url import check_base_url
from .._client.environment import ClientOptions
from .._secret import conceal
from .._settings import Options
from .._sharing.deliveries import LEASE_SECONDS
from .._validation.arguments import check_id, refuse
from .._validation.settings import check_choice, check_kind, check_line
from .._validation.text import show
from ..auth import TokenProvider, check_token
from ..client import LeadConnector
from ..exceptions import ConfigurationError, LeadConnectorError, WebhookError
from ..oauth import OAuthApp
from ..shared import Shared
from .problems import Problem
from .refusals import Refusal, install_error_handlers, read_body, refuse_webhook

if TYPE_CHECKING:
    from ..webhooks import WebhookEvent, WebhookVerifier
    from .inbox import WebhookInbox
else:  # `typing.get_type_hints` imports them, and so needs cryptography
    WebhookEvent = ForwardRef("__import__('leadconnector_async.webhooks').webhooks.WebhookEvent")
    WebhookVerifier = ForwardRef("__import__('leadconnector_async.webhooks').webhooks.WebhookVerifier")

__all__ = [
    "LOCATION_HEADER",
    "Authorize",
    "Backend",
    "LocationSource",
    "Problem",
    "Refusal",
    "install_error_handlers",
]

LOCATION_HEADER: Final = "X-Location-Id"
"""The header that names the location of a request."""
PATH_PARAMETER: Final = "location_id"
"""The path parameter that names the location of a request."""

Authorize: TypeAlias = Callable[[Request, str], bool | Awaitable[bool]]
"""Whether the sender of a request may use a location; async or not. Anything but `True` refuses the request, and so
does an exception."""
LocationSource: TypeAlias = Literal["path", "header", "client"] | Callable[[Request], str | Awaitable[str]]
"""Where the location of a request comes from: `path` is the path parameter `location_id`; `header` is
`X-Location-Id`; `client` is the client's own location; a function, async or not, takes it from elsewhere, such as
the sender's token."""
_LOGGER: Final = logging.getLogger("leadconnector_async")


class BackendSettings(Struct, frozen=True, kw_only=True):
    """What a backend was created with."""

    authorize: Authorize
    location: LocationSource
    token: str | TokenProvider | None
    location_id: str | None
    oauth: OAuthApp | None
    client: LeadConnector | None
    shared: Shared | None
    base_url: str | None
    webhook_key: str | bytes | WebhookVerifier | None
    options: Options

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Backend:
    """What the requests of an application share: the client, and who may use which location.

        backend = Backend(oauth=oauth, authorize=may_use)
        app = Starlette(routes=[...], lifespan=backend.lifespan)

    The client has a private token (`token`, with its `location_id`), the tokens of an app for many locations
    (`oauth`), or is your own (`client`), which stays open. Without any of them it is that of
    `LeadConnector.from_env`. `authorize` is required: it is called with the request and a location before the
    request can do anything there. `location` says where the location of a request comes from; by default from the
    path, or from the client if it has one. `shared` is opened and closed with the application; with it, all
    processes together process an event of a webhook once. `webhook_key` is the public key of HighLevel's webhook
    guide, or a `WebhookVerifier`. `base_url` and `options` are those of `LeadConnector`.

    Raises `ConfigurationError` for settings that cannot work.
    """

    def __init__(
        self,
        *,
        authorize: Authorize | None = None,
        token: str | TokenProvider | None = None,
        location_id: str | None = None,
        oauth: OAuthApp | None = None,
        client: LeadConnector | None = None,
        location: LocationSource | None = None,
        shared: Shared | None = None,
        base_url: str | None = None,
        webhook_key: str | bytes | WebhookVerifier | None = None,
        **options: Unpack[Options],
    ) -> None:
        given = token if token is None or callable(token) else conceal(token)
        address = None if base_url is None else conceal(base_url)
        del token, base_url  # an error shows the parameters of each function that it went through
        given = given if given is None or callable(given) else check_token(given)
        if sum(one is not None for one in (given, oauth, client)) > 1:
            raise ConfigurationError("token, oauth and client exclude each other; pass one of them")
        if isinstance(given, str) and location_id is None:
            raise ConfigurationError("location_id is missing: a token is for one location, so pass both")
        own = location_id if client is None else check_kind("client", client, LeadConnector).location_id
        has_own = own is not None or (given is None and oauth is None and client is None)
        self._settings = BackendSettings(
            authorize=_check_authorize(authorize),
            location=_check_source(location, "client" if has_own else "path"),
            token=given,
            location_id=None if location_id is None else check_line("location_id", location_id),
            oauth=None if oauth is None else check_kind("oauth", oauth, OAuthApp),
            client=client,
            shared=None if shared is None else check_kind("shared", shared, Shared),
            base_url=None if address is None else str(check_base_url(address)),
            webhook_key=webhook_key,
            options=options,
        )
        self._client: LeadConnector | None = None
        self._inbox: WebhookInbox | None = None
        self._verifier = None if webhook_key is None else _make_verifier(webhook_key)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'started' if vars(self).get('_client') else 'not started'}>"

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """Open what the requests share, and close it: `FastAPI(lifespan=backend.lifespan)`.

        `app` is the application. In a lifespan of your own: `async with backend.lifespan(app): …`. Raises
        `ConfigurationError`.
        """
        if self._client is not None:
            raise ConfigurationError("this backend has been started already; create one for each application")
        async with AsyncExitStack() as stack:
            client = await self._open_client(stack)
            self._client = client
            if self._verifier is not None:
                self._inbox = _open_inbox(self._verifier, client, self._settings)
            try:
                yield
            finally:
                self._client = self._inbox = None

    @property
    def root(self) -> LeadConnector:
        """The client whose connections and limits all requests share. It has no location, or the token's own.

        Raises `ConfigurationError` unless the lifespan is running.
        """
        if self._client is None:
            raise ConfigurationError(
                "the backend is not running: pass lifespan=backend.lifespan to the application; a mounted "
                "application needs that of the outermost one"
            )
        return self._client

    @property
    def reads_path(self) -> bool:
        """Whether the path of a request names its location."""
        return self._settings.location == "path"

    def client_for(self, location_id: str) -> LeadConnector:
        """The client of a location, without asking `authorize`. For what no request caused.

        `location_id` is the location.

        Raises `ConfigurationError` if the backend has no token for it.
        """
        root = self.root
        return root if root.location_id == location_id else root.for_location(location_id)

    async def find_location(self, request: Request) -> str:
        """The location that a request is for, once `authorize` has allowed it.

        `request` is the one that is being handled.

        Raises `Refusal` (403) if it did not, and `InvalidRequestError` if no location is named, or two.
        """
        location_id = await self._read_location(request)
        if not await self._is_allowed(request, location_id):
            raise Refusal(403, "You may not use this location.", code="location_refused")
        return location_id

    async def find_client(self, request: Request) -> LeadConnector:
        """The client of the location that a request is for, once `authorize` has allowed it.

        `request` is the one that is being handled.

        Raises as `find_location`.
        """
        return self.client_for(await self.find_location(request))

    @asynccontextmanager
    async def receive_webhook(self, request: Request) -> AsyncGenerator[WebhookEvent]:
        """The event of a webhook, once it is verified: `async with backend.receive_webhook(request) as event: …`.

        `request` is the one that is being handled. No other delivery of that event is processed at the same time.
        If the block raises an error, the next one is processed; otherwise the event is recorded, and further
        deliveries are acknowledged without being processed. `INSTALL` and `UNINSTALL` of an OAuth app are followed
        first: a location that an agency has added gets its token, and the tokens of one that has left are removed.

        Raises `Refusal` with the response: 403 for a signature that is missing or invalid or an event that is too
        old, 413 for a body of more than a million bytes, 503 for an event that is being processed, and 204 for one
        that is not processed because it was processed before, cannot be read, or is not for this backend.
        """
        if self._inbox is None:
            self.root  # noqa: B018 - raises if the backend is not running
            raise ConfigurationError("the backend has no webhook_key; pass the one of HighLevel's webhook guide")
        body = await read_body(request)
        async with AsyncExitStack() as stack:
            try:
                event = await stack.enter_async_context(self._inbox.receive(body, request.headers))
            except WebhookError as error:
                raise refuse_webhook(error) from None
            if event == "busy":
                wait = {"Retry-After": str(math.ceil(LEASE_SECONDS))}
                raise Refusal(503, "This event is being processed.", code="webhook_busy", headers=wait)
            if isinstance(event, str):
                raise Refusal(204, "This event is not processed.", code=f"webhook_{event}")
            yield event

    async def respond_ready(self, request: Request) -> Response:
        """An endpoint for readiness probes: 200 while the lifespan is running, otherwise 503.

        `request` is not looked at. `shared` is `ok`, `unreachable` or `none`. Calls continue without the store that
        processes share, so it decides nothing. Sends no request to HighLevel.
        """
        shared = None if self._client is None else self._client.shared
        state = {"status": "starting" if self._client is None else "ok", "shared": "none"}
        if shared is not None:
            try:
                await shared.check()
            except LeadConnectorError:
                state["shared"] = "unreachable"
            else:
                state["shared"] = "ok"
        return JSONResponse(state, 200 if self._client is not None else 503)

    async def respond_with_quota(self, request: Request) -> Response:
        """An endpoint with the `LocationQuota` of the location that the request is for.

        `request` names the location as any other does. Raises as `find_location`.
        """
        client = await self.find_client(request)
        return Response(msgspec.json.encode(client.quota), media_type="application/json")

    @property
    def routes(self) -> list[Route]:
        """Routes for `/health/live`, `/health/ready`, and the quota of a location.

        That is `/locations/{location_id}/quota` if the location of a request comes from its path, otherwise
        `/quota`.
        """
        in_path = self._settings.location == "path"
        return [
            Route("/health/live", respond_alive),
            Route("/health/ready", self.respond_ready),
            Route(f"/locations/{{{PATH_PARAMETER}}}/quota" if in_path else "/quota", self.respond_with_quota),
        ]

    async def _open_client(self, stack: AsyncExitStack) -> LeadConnector:
        settings = self._settings
        if settings.shared is not None:
            await stack.enter_async_context(settings.shared)
        if settings.client is not None:
            return settings.client
        options = cast("ClientOptions", dict(settings.options))
        if settings.shared is not None:
            options["shared"] = settings.shared
        if settings.base_url is not None:
            options["base_url"] = settings.base_url
        if settings.location_id is not None:
            options["location_id"] = settings.location_id
        token = settings.oauth or settings.token
        client = LeadConnector.from_env(**options) if token is None else LeadConnector(token, **options)
        return await stack.enter_async_context(client)

    async def _read_location(self, request: Request) -> str:
        """Every source that names a location must name the same one: a proxy may have checked another one."""
        source = self._settings.location
        in_path = request.path_params.get(PATH_PARAMETER)
        in_headers = request.headers.getlist(LOCATION_HEADER)
        if callable(source):
            chosen: object = await _resolve(source(request))
        else:
            first = in_headers[0] if in_headers else None
            chosen = {"path": in_path, "header": first, "client": self.root.location_id}[source]
        if chosen is None:
            where = "in the path" if source == "path" else f"in the header {LOCATION_HEADER}"
            raise refuse("location_id", None, "the request names no location", f"name it {where}")
        location_id = check_id("location_id", chosen)
        if any(one not in (None, location_id) for one in (in_path, *in_headers)):
            raise refuse(
                "location_id", location_id, "the request names another location as well", "name the same one twice"
            )
        return location_id

    async def _is_allowed(self, request: Request, location_id: str) -> bool:
        try:
            self.client_for(location_id)
        except ConfigurationError:  # there is no token for it
            return False
        allowed = await _resolve(self._settings.authorize(request, location_id))
        if not isinstance(allowed, bool) and allowed is not None:
            kind = type(allowed).__name__
            _LOGGER.error("authorize returned a %s, so the request is refused; return True or False", kind)
        return allowed is True


async def respond_alive(request: Request) -> Response:
    """An endpoint for liveness probes: 200 as long as the process responds, whatever `request` says."""
    return JSONResponse({"status": "ok"})


async def _resolve(given: object) -> object:
    return await cast("Awaitable[object]", given) if inspect.isawaitable(given) else given


def _make_verifier(key: str | bytes | WebhookVerifier) -> WebhookVerifier:
    from ..webhooks import WebhookVerifier  # noqa: PLC0415 - needs cryptography

    return key if isinstance(key, WebhookVerifier) else WebhookVerifier(key)


def _open_inbox(verifier: WebhookVerifier, client: LeadConnector, settings: BackendSettings) -> WebhookInbox:
    from .inbox import WebhookInbox  # noqa: PLC0415 - needs cryptography

    if settings.oauth is None and client.location_id is None:
        raise ConfigurationError(
            "every webhook would be ignored: with webhook_key=, pass oauth=, or location_id= for your own location"
        )
    return WebhookInbox(verifier, client, settings.oauth, settings.shared or client.shared)


def _check_authorize(authorize: object) -> Authorize:
    if not callable(authorize):
        raise ConfigurationError(
            f"authorize is {show(authorize)}; pass a function of a request and a location id that returns True if "
            "the sender may use that location: without it, anybody could use all of them"
        )
    return cast("Authorize", authorize)


def _check_source(source: LocationSource | None, default: LocationSource) -> LocationSource:
    if source is None or callable(source):
        return source or default
    return cast("LocationSource", check_choice("location", source, ("path", "header", "client")))
