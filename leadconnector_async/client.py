"""`LeadConnector`: the settings, connections and limiter behind the operations of `_client/`.

Settings are checked when the client is created; connections are opened on first use.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import TYPE_CHECKING, ForwardRef, Self, TypeVar, Unpack, overload

import aiohttp
from msgspec import UNSET, UnsetType, structs

from ._api.request import JsonValue, Query, build_request
from ._call.base_url import BASE_URL, check_base_url
from ._client.booking import BookingMethods
from ._client.environment import ClientOptions, add_environment, read_token
from ._limiter.headers import LocationQuota
from ._secret import InOneProcess, conceal
from ._settings import VERSION, Options, Settings, check_narrower, check_settings
from ._validation.settings import check_kind, check_line
from .access import Access, Approve
from .auth import LocationProvider, TokenProvider, TokenSource, conceal_token, explain_root
from .events import EventHandler
from .policy import Priority, RateLimit, RetryPolicy, Timeouts

if TYPE_CHECKING:
    from ._call.attempt import Shared as Parts
    from ._call.pipeline import Pipeline
    from ._client.once import KeyedCalls
    from .shared import Shared
else:  # `typing.get_type_hints` imports it, and no program that does not ask for it
    Shared = ForwardRef("__import__('leadconnector_async.shared').shared.Shared")

T = TypeVar("T")


class LeadConnector(BookingMethods, InOneProcess):
    """An async client for one location (Sub-Account) of HighLevel.

        async with LeadConnector(token, location_id="C2QujeCh8ZnC7al2InWR") as client:
            await client.update_appointment(event_id, AppointmentUpdate(title="Intro call"))

    `token` is a Private Integration Token or an access token of the Sub-Account, or an async function that returns
    one. It can also be an `OAuthApp`: then the client has no location, and is there for its `for_location`.
    `location_id` is the location whose rate limit all calls share. `base_url` is an `https://` URL; `http://` is
    accepted for loopback addresses only. `version` is the `Version` header. `timeouts`, `retry` and `rate_limit`
    replace the defaults of `Timeouts`, `RetryPolicy` and `RateLimit`; `priority="bulk"` lets interactive calls go
    first. A borrowed `session` provides its connections, proxy, tracing and middlewares, and is never closed; its
    headers, cookies, credentials and timeouts are not used. Without one, the proxy comes from the environment
    (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`); plain `http://` never uses a proxy. `shared` names the store through
    which processes share the rate limits of their locations; it is not closed. `app_info` is appended to the
    User-Agent. `on_event` is called with every `Event`. With `access="read"`, every write raises `ReadOnlyError`
    and nothing is sent. `approve` is an async function that is asked before every write, with a `PendingWrite`;
    unless it returns `True`, `NotApprovedError` is raised.

    Raises `ConfigurationError` for an invalid setting. Use one client per event loop.
    """

    def __init__(
        self,
        token: str | TokenProvider | LocationProvider,
        *,
        location_id: str | None = None,
        base_url: str = BASE_URL,
        version: str = VERSION,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        rate_limit: RateLimit | None = None,
        shared: Shared | None = None,
        priority: Priority = "interactive",
        session: aiohttp.ClientSession | None = None,
        app_info: str | None = None,
        on_event: EventHandler | None = None,
        access: Access = "write",
        approve: Approve | None = None,
    ) -> None:
        given = conceal_token(token)
        address = conceal(base_url)
        del token, base_url  # an error shows the parameters of each function that it went through
        self._location_id = None if location_id is None else check_line("location_id", location_id)
        self._base_url = check_base_url(address)
        limit = check_kind("rate_limit", RateLimit() if rate_limit is None else rate_limit, RateLimit)
        self._sharing = _check_shared(shared)
        self._shared = self._make_parts(TokenSource(given), session, limit)
        self._owner, self._closes_sharing = True, False
        self._keyed: dict[str | None, KeyedCalls] = {}
        self._apply(
            Settings(
                version=version,
                timeouts=Timeouts() if timeouts is None else timeouts,
                retry=RetryPolicy() if retry is None else retry,
                priority=priority,
                app_info=app_info,
                on_event=on_event,
                access=access,
                approve=approve,
            )
        )

    def _apply(self, settings: Settings) -> None:
        """Raises `ConfigurationError`."""
        self._settings = settings = check_settings(settings)
        self._version, self._access = settings.version, settings.access
        self._pipeline = self._build_pipeline()

    @classmethod
    def from_env(cls, **options: Unpack[ClientOptions]) -> Self:
        """Create a client from `LEADCONNECTOR_TOKEN`, `_LOCATION_ID`, `_BASE_URL`, `_SHARED`, `_ACCESS` and `_LOG`.

        `options` are the keyword arguments of `LeadConnector`. One that is passed takes precedence over its
        variable, except that `LEADCONNECTOR_ACCESS=read` allows no writes, whatever the argument `access` says.
        `LEADCONNECTOR_SHARED` is the URL of a `Shared`, which is closed together with the client; one that is
        passed is not. `LEADCONNECTOR_LOG` sets the level of the logger `leadconnector_async`, such as `debug`; log
        records go to stderr unless the program has configured logging. Raises `ConfigurationError` if the token is
        missing.
        """
        token = read_token()
        owns_shared = add_environment(options)
        client = cls(token, **options)
        return own_shared(client) if owns_shared else client

    def __repr__(self) -> str:
        known = vars(self)  # incomplete while `__init__` is rejecting a setting
        location_id, base_url = known.get("_location_id"), str(known.get("_base_url", ""))
        return f"<{type(self).__name__} location_id={location_id!r} base_url={base_url!r}>"

    async def __aenter__(self) -> Self:
        if self._closes_sharing and self._sharing is not None:
            await self._sharing.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. Copies close nothing, and a borrowed session stays open.

        May be called from another event loop as long as the one that made the calls is running; otherwise raises
        `ConfigurationError` and closes nothing.
        """
        if not self._owner:
            return
        await self._shared.transport.close()
        self._shared.timer.close(asyncio.get_running_loop())
        if self._sharing is not None:
            await self._sharing.membership.leave(self._shared.limiter.lanes.values())
            if self._closes_sharing:
                await self._sharing.aclose()

    def with_options(self, **options: Unpack[Options]) -> Self:
        """Return a light copy with other settings that shares connections, token and limiter.

        `options` are keyword arguments of `LeadConnector`. Takes `version`, `timeouts`, `retry`, `priority`,
        `app_info` and `on_event`; also `access="read"`, and `approve` if there is none yet. Raises
        `ConfigurationError` for a copy that could write more than this one.
        """
        check_narrower(self._settings, options)
        other = _copy(self)
        other._apply(structs.replace(self._settings, **options))
        return other

    def for_location(self, location_id: str, token: str | TokenProvider | None = None) -> Self:
        """Return a light copy for another location: same connections and settings, its own limiter and token.

        `location_id` is the location, and `token` as for `LeadConnector`. Without `token`, the token comes from the
        app whose provider this client was created with; raises `ConfigurationError` if there is none.
        """
        location_id = check_line("location_id", location_id)
        given = token if token is None or callable(token) else conceal(token)
        del token
        tokens = self._shared.tokens.for_location(location_id) if given is None else TokenSource(given)
        other = _copy(self)
        other._location_id = location_id
        other._shared = structs.replace(self._shared, tokens=tokens)
        other._pipeline = other._build_pipeline()
        return other

    @property
    def location_id(self) -> str | None:
        """The location whose rate limit all calls share."""
        return self._location_id

    @property
    def shared(self) -> Shared | None:
        """The store through which processes share the limits of its locations; `None` if there is none."""
        return self._sharing

    @property
    def version(self) -> str:
        """The `Version` header of every request."""
        return self._version

    @property
    def access(self) -> Access:
        """Whether it may write."""
        return self._access

    @property
    def on_event(self) -> EventHandler | None:
        """The handler of all events."""
        return self._settings.on_event

    @property
    def quota(self) -> LocationQuota:
        """A snapshot of the location's limiter, which all copies of the client share.

        Raises `ConfigurationError` for the client of an `OAuthApp`, which has no location.
        """
        if self._shared.tokens.is_root:
            raise explain_root()
        return self._shared.limiter.describe(self._location_id)

    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object | UnsetType = UNSET,
        repeatable: bool | None = None,
    ) -> JsonValue: ...

    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        response_type: type[T],
        query: Query | None = None,
        body: object | UnsetType = UNSET,
        repeatable: bool | None = None,
    ) -> T: ...

    async def request(
        self,
        method: str,
        path: str,
        *,
        response_type: type[object] = object,
        query: Query | None = None,
        body: object | UnsetType = UNSET,
        repeatable: bool | None = None,
    ) -> object:
        """Call any other path of the API, with the same limiter, retries and errors.

        `method` is the HTTP method, such as `GET`; `query` are the query parameters, where a list repeats its key.
        `path` starts with `/`; `body` is any JSON value or a msgspec Struct; msgspec decodes the response into
        `response_type`. `repeatable` means that the request is idempotent; by default GET, HEAD, OPTIONS, PUT and
        DELETE are. Raises what `update_appointment` raises.
        """
        request = build_request(method, path, response_type, query=query, body=body, repeatable=repeatable)
        return (await self._pipeline.call(request)).value

    @property
    def quotas(self) -> dict[str | None, LocationQuota]:
        """Snapshots of the limiters of all locations that are called through this client and its copies."""
        return {location_id: lane.describe() for location_id, lane in self._shared.limiter.lanes.items()}

    def _find_keyed_calls(self) -> KeyedCalls:
        """One for each app."""
        from ._client.once import open_keyed_calls  # noqa: PLC0415 - most programs use no keys

        sharing, app = self._sharing, self._shared.tokens.client_id
        if app not in self._keyed:
            keys = None if sharing is None else sharing.keys
            clock = time.monotonic if sharing is None else sharing.membership.clock
            self._keyed[app] = open_keyed_calls(keys, clock, (None if sharing is None else sharing.app) or app)
        return self._keyed[app]

    def _make_parts(self, tokens: TokenSource, session: aiohttp.ClientSession | None, limit: RateLimit) -> Parts:
        from ._client.assembly import make_parts  # noqa: PLC0415 - it imports what only clients need

        return make_parts(tokens, self._base_url, session, limit, self._sharing)

    def _build_pipeline(self) -> Pipeline:
        from ._client.assembly import build_pipeline  # noqa: PLC0415 - as above

        return build_pipeline(self._shared, self._settings, self._location_id)


C = TypeVar("C", bound=LeadConnector)


def needs_location(client: LeadConnector) -> bool:
    """Whether it has tokens of locations only, and so is there for its `for_location`."""
    return client._shared.tokens.is_root  # pyright: ignore[reportPrivateUsage] - of this module


def _copy(client: C) -> C:
    """A copy that closes nothing."""
    other = object.__new__(type(client))
    vars(other).update(vars(client), _owner=False)
    return other


def own_shared(client: C) -> C:
    """Open and close what this client shares together with the client."""
    client._closes_sharing = True  # pyright: ignore[reportPrivateUsage] - of this module
    return client


def _check_shared(shared: Shared | None) -> Shared | None:
    if shared is None:
        return None
    from .shared import Shared  # noqa: PLC0415 - most programs share nothing

    return check_kind("shared", shared, Shared)
