"""`OAuthApp`: a marketplace app that users connect, and its tokens.

A token comes from the app's store, or is saved there before it is used. No secret is in a repr, an error or a log
line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeAlias, TypeGuard, cast, get_args

import aiohttp
from msgspec import structs
from yarl import URL

from ._api.errors import classify_token_refusal
from ._call.base_url import BASE_URL, check_base_url, read_url
from ._oauth.agency import AgencyCalls, list_installed
from ._oauth.codec import build_stored_token
from ._oauth.endpoint import AppKeys, TokenEndpoint
from ._oauth.refresh import TokenRefresher
from ._secret import Held, InOneProcess, Secret, conceal
from ._validation.arguments import refuse
from ._validation.settings import check_choice, check_clock, check_kind, check_line, check_seconds, find_text_fault
from ._validation.text import show, show_error
from .auth import TokenSource
from .exceptions import AuthenticationError, ConfigurationError, DecodeError, ReconnectRequiredError
from .models import InstalledLocation
from .policy import Timeouts
from .token_stores import MemoryTokenStore, TokenStore
from .tokens import StoredToken

UserType: TypeAlias = Literal["Location", "Company"]
"""Whose token it is: a Sub-Account's or an agency's [doc]."""

AUTHORIZE_URL: Final = "https://marketplace.gohighlevel.com/v2/oauth/chooselocation"
"""Where a user chooses the Sub-Account to connect [doc: since May 2026]."""
_TIMEOUTS: Final = Timeouts(connect=5.0, total=8.0)
"""Three tries of that length fit in the grace period of a refresh token."""
_LONGEST_READ: Final = 9.0


class AppTokens(InOneProcess):
    """The tokens of one location (or agency) of an app; returned by `OAuthApp.provider`. A `TokenProvider`."""

    __slots__ = ("_key", "_refresher")

    def __init__(self, refresher: TokenRefresher, key: str) -> None:
        self._refresher = refresher
        self._key = key

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._key!r}>"

    @property
    def client_id(self) -> str:
        """The client id of the app."""
        return self._refresher.client_id

    async def __call__(self) -> str:
        """The token to use now, refreshed if it is about to expire."""
        return await self._refresher.get(self._key)

    async def refresh(self, rejected: str) -> str:
        """A token other than `rejected`, which the server has just refused."""
        secret = conceal(rejected)
        del rejected  # error reports show parameters
        return await self._refresher.replace(self._key, _check_secret("rejected", secret))

    def for_location(self, location_id: str) -> AppTokens:
        """The tokens of another location of the same app.

        `location_id` is the location.
        """
        return AppTokens(self._refresher, check_line("location_id", location_id))


class OAuthApp(InOneProcess):
    """An app of the vendor's marketplace, with the tokens of all locations and agencies that connected it.

        app = OAuthApp(client_id, client_secret, store=FileTokenStore("tokens.json"))
        client = LeadConnector(app.provider(location_id), location_id=location_id)

    `store` holds the tokens of this app only; without one, they are lost when the process ends. `client_id` and
    `client_secret` are those of the app. `redirect_uri` is where the vendor sends users back to. `refresh_ahead` is
    how many seconds before it expires a token is refreshed. `timeouts` bound each of at most three tries; `total`
    is at most 9 s, so that they fit in the 30 s for which a refresh token can be used again. `base_url`, `session`
    and proxies are as for `LeadConnector`. `authorize_at` is the page at which users connect it. `clock` returns
    seconds since the epoch. Create one app per process and event loop, so that tasks share refreshes.

    Raises `ConfigurationError` for invalid settings. Every other error is a `LeadConnectorError` as well:
    `ReconnectRequiredError` if only a user can help, `TokenStoreError` if the store fails.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        store: TokenStore | None = None,
        redirect_uri: str | None = None,
        base_url: str = BASE_URL,
        authorize_at: str = AUTHORIZE_URL,
        refresh_ahead: float = 300.0,
        timeouts: Timeouts = _TIMEOUTS,
        session: aiohttp.ClientSession | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        secret, address = conceal(client_secret), conceal(base_url)
        del client_secret, base_url  # error reports show parameters
        client_id = check_line("client_id", client_id)
        secret = _check_secret("client_secret", secret)
        check_kind("timeouts", timeouts, Timeouts)
        check_seconds("refresh_ahead", refresh_ahead, may_be_zero=True)
        if store is not None:
            _check_store(store)
        if timeouts.total > _LONGEST_READ:
            raise ConfigurationError(f"timeouts.total is {timeouts.total}; it must be at most {_LONGEST_READ} s")
        self._client_id = client_id
        self._redirect_uri = None if redirect_uri is None else _check_redirect(redirect_uri)
        self._authorize_at = _check_page(authorize_at)
        self._clock = clock = check_clock(clock)
        keys = AppKeys(client_id, secret)
        self._endpoint = TokenEndpoint(check_base_url(address), keys, timeouts=timeouts, session=session)
        self._lister = AgencyCalls(self._endpoint.base_url, session)
        self._refresher = TokenRefresher(
            client_id,
            MemoryTokenStore() if store is None else store,
            self._refresh,
            clock=clock,
            lead=refresh_ahead,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} client_id={vars(self).get('_client_id')!r}>"

    @property
    def client_id(self) -> str:
        """The client id of the app. It begins with the id of the app [field]."""
        return self._client_id

    def authorize_url(self, scopes: Iterable[str], *, state: str) -> str:
        """The URL at which a user connects the app.

        `scopes` are what the app asks for, such as `calendars/events.write`. `state` is an unguessable value: store
        it in the user's session, and accept a code only if the same value comes back with it. Raises
        `ConfigurationError` without a `redirect_uri`.
        """
        if self._redirect_uri is None:
            raise ConfigurationError("authorize_url needs a redirect_uri: OAuthApp(…, redirect_uri=…)")
        state = check_line("state", state)
        chosen = _list_scopes(scopes)
        query = {
            "response_type": "code",
            "redirect_uri": self._redirect_uri,
            "client_id": self._client_id,
            "scope": " ".join(chosen),
            "state": state,
        }
        return str(self._authorize_at.update_query(query))

    async def exchange_code(self, code: str, *, user_type: UserType = "Location") -> StoredToken:
        """Exchange an authorization code for a token and store it [doc: Get Access Token].

        `code` is what the user came back with; `user_type` is `Company` for an agency. It is stored under the id of
        its location or agency, even if the caller is cancelled. Raises `ReconnectRequiredError` for a code that was
        used or has expired, and `InvalidRequestError` for what cannot be a code. A code works once: after a
        `TokenStoreError` the token is remembered, and stored by the next call that needs a token of this location.
        """
        user_type = check_choice("user_type", user_type, get_args(UserType))  # type: ignore[assignment]
        given = conceal(code)
        del code
        form = {
            "grant_type": "authorization_code",
            "code": _check_code(given),
            "user_type": user_type,
            "redirect_uri": self._redirect_uri,
        }

        async def obtain() -> tuple[str, StoredToken]:
            asked_at = self._clock()
            response = await self._endpoint.ask("this code", form)
            token = build_stored_token(response, asked_at, self._client_id)
            return _choose_key(token), token

        return await self._refresher.obtain(obtain)

    def provider(self, location_id: str) -> AppTokens:
        """The tokens of a location or agency, for `LeadConnector(token=…)`. Sends no request yet.

        `location_id` is the id of the location or agency.
        """
        return AppTokens(self._refresher, check_line("location_id", location_id))

    async def is_connected(self, key: str) -> bool:
        """Whether there is a token of a location or agency, also one that has to be refreshed. Sends no request.

        `key` is the id of the location or agency.
        """
        return await self._refresher.find(check_line("key", key)) is not None

    async def forget(self, key: str, *, issued_before: float | None = None) -> bool:
        """Remove the tokens of a location or agency from the store; returns whether there were any.

        `key` is the id of the location or agency. Tokens that were issued after `issued_before` (Unix time) stay:
        the app was connected again in the meantime. Calls that need a token raise `ReconnectRequiredError` from
        then on; other processes notice when the server refuses the one that they have in memory. The store keeps
        the ids, without a token.
        """
        return await self._refresher.forget(
            check_line("key", key), float("inf") if issued_before is None else issued_before
        )

    def for_location(self, location_id: str) -> AppTokens:
        """As `provider`: with it, `LeadConnector(app)` is a client without a location, for its `for_location`.

        `location_id` is the location.
        """
        return self.provider(location_id)

    async def list_installed_locations(
        self, company_id: str, *, app_id: str | None = None
    ) -> list[InstalledLocation]:
        """List the locations of an agency in which the app is installed [doc: Get Location where app is installed].

        `company_id` is the agency. The agency's token is used, which must have been stored and needs the scope
        `oauth.readonly`. `app_id` is the id of the app, by default the first part of its client id [field]. Each
        request lists 100 locations; the requests are retried and paced as those of a client. Raises what
        `LeadConnector.list_calendars` raises.
        """
        company_id = check_line("company_id", company_id)
        app = self._client_id.partition("-")[0] if app_id is None else check_line("app_id", app_id)
        tokens = TokenSource(self.provider(company_id))
        async with self._lister.open(tokens, company_id) as pipeline:
            return await list_installed(pipeline, company_id, app)

    async def location_token(self, company_id: str, location_id: str) -> StoredToken:
        """Get a location's token with the agency's stored one, and store it [doc: Get Location Access Token].

        `company_id` is the agency, and `location_id` the location. If the response has no refresh token, later
        tokens are obtained from the agency's in the same way.
        """
        company_id, location_id = check_line("company_id", company_id), check_line("location_id", location_id)

        async def obtain() -> tuple[str, StoredToken]:
            return location_id, await self._ask_agency(company_id, location_id)

        return await self._refresher.obtain(obtain)

    async def _refresh(self, stored: StoredToken) -> StoredToken:
        """The token after a stored one: by its refresh token, or else from its agency."""
        company_id, location_id = stored.company_id, stored.location_id
        from_agency = stored.refresh_token is None and stored.user_type != "Company"
        if from_agency and company_id and location_id and company_id != location_id:
            return await self._ask_agency(company_id, location_id)
        if stored.refresh_token is None:
            raise ReconnectRequiredError(
                f"The token of {_describe(stored)} has expired and has no refresh token: send a user through "
                "authorize_url(…) again.",
                outcome="not_applied",
            )
        asked_at = self._clock()
        form = {
            "grant_type": "refresh_token",
            "refresh_token": Secret(stored.refresh_token),
            "user_type": stored.user_type,
            "redirect_uri": self._redirect_uri,
        }
        response = await self._endpoint.ask(_describe(stored), form)
        return build_stored_token(response, asked_at, self._client_id, stored)

    async def _ask_agency(self, company_id: str, location_id: str) -> StoredToken:
        agency = self.provider(company_id)
        agency_token = Secret(await agency())
        asked_at = self._clock()
        try:
            response = await self._endpoint.ask_for_location(agency_token, company_id, location_id)
        except AuthenticationError as error:
            if classify_token_refusal(error) != "expired":
                raise
            agency_token = Secret(await agency.refresh(agency_token))
            asked_at = self._clock()
            response = await self._endpoint.ask_for_location(agency_token, company_id, location_id)
        token = build_stored_token(response, asked_at, self._client_id)
        return structs.replace(token, user_type="Location", company_id=company_id, location_id=location_id)


def _describe(token: StoredToken) -> str:
    return f"agency {token.company_id}" if token.user_type == "Company" else f"location {token.location_id}"


def _choose_key(token: StoredToken) -> str:
    key = token.company_id if token.user_type == "Company" else token.location_id
    key = key or token.location_id or token.company_id
    if key is None:
        text = "The token endpoint's response names neither a location nor a company."
        raise DecodeError(text, outcome="not_applied")
    return key


def _check_secret(name: str, value: Secret | Held) -> Secret:
    """As `check_line`, but without showing the value."""
    if not _is_line(value):
        raise ConfigurationError(f"{name} must be a non-empty line of text without surrounding whitespace")
    return value


def _check_code(value: Secret | Held) -> Secret:
    """It is in the query of whoever visits the redirect URI, so the settings are not to blame for it."""
    if not _is_line(value):
        reason = "it is empty, or not a line of text without surrounding whitespace"
        raise refuse("code", Held(value), reason, "send the user through authorize_url(…) again")
    return value


def _is_line(value: Secret | Held) -> TypeGuard[Secret]:
    return isinstance(value, Secret) and bool(value) and value == value.strip() and not find_text_fault(value)


def _list_scopes(scopes: object) -> list[str]:
    if isinstance(scopes, str):
        return [check_line("scopes", scopes)]
    try:
        listed = list(check_kind("scopes", cast("Iterable[object]", scopes), Iterable, "a list of scopes"))
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"scopes cannot be iterated ({show_error(error)}); pass a list of strings"
        ) from None
    return [check_line("scopes", scope) for scope in listed]


def _check_redirect(address: object) -> str:
    """A URL of any scheme, exactly as it was given: the vendor compares it."""
    read_url("redirect_uri", address)
    return check_line("redirect_uri", address)


def _check_page(address: object) -> URL:
    url = read_url("authorize_at", address)
    if not url.host or url.scheme not in ("http", "https"):
        raise ConfigurationError(f"authorize_at is {show(address)}; it must look like {AUTHORIZE_URL!r}")
    return url


def _check_store(store: object) -> None:
    missing = [name for name in ("load", "save", "lock") if not callable(getattr(store, name, None))]
    if isinstance(store, type) or missing:
        raise ConfigurationError(f"store is {show(store)}; it must be a TokenStore, such as FileTokenStore(path)")
