"""Tokens and the token endpoints of the sandbox: codes, single-use refresh tokens, and what each token may do."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from .installs import Installs
from .settings import check_duration, check_number, check_redirect, check_switch, reject_setting
from .updates import Refusal

TokenKind: TypeAlias = Literal["pit", "access"]
"""A Private Integration Token, or an access token of the marketplace app."""
UserType: TypeAlias = Literal["Location", "Company"]
"""Whose token it is: that of a location, or of an agency (company)."""
TokenResponse: TypeAlias = dict[str, object]

WRITE: Final = "calendars/events.write"
READ: Final = "calendars/events.readonly"
CALENDARS: Final = "calendars.readonly"
CONTACTS: Final = "contacts.readonly"
OAUTH_READ: Final = "oauth.readonly"
OAUTH_WRITE: Final = "oauth.write"
GROUPS: Final = "calendars/groups.readonly"
USERS: Final = "users.readonly"
LOCATIONS: Final = "locations.readonly"
ALL_SCOPES: Final = (READ, WRITE, CALENDARS, CONTACTS, GROUPS, USERS, LOCATIONS)
AGENCY_SCOPES: Final = (OAUTH_READ, OAUTH_WRITE)
"""Of agencies' tokens only."""
PIT_APP: Final = "pit"
"""The app of private tokens, where requests are counted by app: all of them count together [guess]."""
_SNAKE: Final = {
    "clientId": "client_id",
    "clientSecret": "client_secret",
    "grantType": "grant_type",
    "refreshToken": "refresh_token",
    "userType": "user_type",
    "redirectUri": "redirect_uri",
}
"""Of a request: the names of version v3, and those of the older versions."""
_CAMEL: Final = {
    "access_token": "accessToken",
    "refresh_token": "refreshToken",
    "expires_in": "expiresIn",
    "token_type": "tokenType",
}
"""Of a response: the names of the older versions, and those of v3."""
_LOGGED: Final = frozenset({"grant_type", "user_type", "companyId", "locationId", "client_id", "redirect_uri"})
"""Fields of a form whose values may be logged."""
_SECRET: Final = frozenset({"client_secret", "code", "refresh_token"})
"""Fields of a form whose names may be logged."""
_ONLY_AT_CONNECTING: Final = ("companyId", "approvedLocations", "isBulkInstallation", "installToFutureLocations")


class TokenRules(Struct, frozen=True, kw_only=True):
    """How the token endpoints behave."""

    expires_in: int = 86_399
    """Seconds that an access token lives, by the sandbox's clock [doc]."""
    grace: float = 30.0
    """Seconds for which a used refresh token gets the same response again [doc]."""
    refusal_status: int = 400
    """Status code of `invalid_grant` and `invalid_client`: 400 or 401 [guess]."""
    location_refresh: bool = False
    """Whether a location's token that an agency requested has a refresh token [field: it may be missing]."""
    redirect_uris: tuple[str, ...] = ()
    """Where the authorize page may send users back to, letter for letter; to loopback it may in any case."""

    def __post_init__(self) -> None:
        check_duration("expires_in", self.expires_in, may_be_zero=True)
        check_duration("grace", self.grace, may_be_zero=True)
        check_number("refusal_status", self.refusal_status, 400, 599)
        check_switch("location_refresh", self.location_refresh)
        addresses: object = self.redirect_uris
        if not isinstance(addresses, tuple | list):
            raise reject_setting("redirect_uris", addresses, "it must be a tuple of addresses")
        for address in self.redirect_uris:
            check_redirect("redirect_uris", address)


class TokenRefusal(Refusal):
    """A refusal in OAuth's own shape [guess: its texts]."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(status, description)
        self.error = error


class Grant(Struct, frozen=True):
    """What a token or a code gives access to."""

    location_id: str
    """An agency's token has the agency's id here."""
    scopes: tuple[str, ...]
    user_type: UserType = "Location"
    expires_at: float = math.inf
    """By the sandbox's clock."""
    app: str = PIT_APP
    """The client id of an OAuth app, or `pit`."""


class TokenRegistry:
    """All access tokens that were issued."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._grants: dict[str, Grant] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._grants)}>"

    def issue(
        self,
        kind: TokenKind,
        location_id: str,
        scopes: Iterable[str],
        user_type: UserType = "Location",
        expires_at: float = math.inf,
        app: str = PIT_APP,
    ) -> str:
        """Make a token."""
        text = hashlib.sha256(f"{self._seed}:token:{len(self._grants)}".encode()).hexdigest()
        token = f"pit-{text[:36]}" if kind == "pit" else f"eyJ.{text}"
        self._grants[token] = Grant(location_id, tuple(scopes), user_type, expires_at, app)
        return token

    def expire(self, token: str) -> None:
        """Let a token expire. Raises `KeyError` for an unknown one."""
        self._grants[token] = msgspec.structs.replace(self._grants[token], expires_at=-math.inf)

    def check(
        self, authorization: str | None, scope: str, now: float, user_types: tuple[UserType, ...] = ("Location",)
    ) -> Grant:
        """The grant of a request. Raises `Refusal`."""
        scheme, _, token = (authorization or "").partition(" ")
        grant = self._grants.get(token) if scheme.lower() == "bearer" else None
        if grant is None or now >= grant.expires_at:
            is_pit = token.startswith("pit-")
            raise Refusal(401, "Invalid Private Integration token" if is_pit else "Invalid JWT")
        if grant.user_type not in user_types:
            raise Refusal(401, "Token's user type mismatch!")
        if scope not in grant.scopes:
            raise Refusal(401, "The token is not authorized for this scope.")
        return grant


class _Code(Struct, frozen=True):
    grant: Grant
    redirect_uri: str | None
    """Where the authorize page has sent it."""


class _RefreshToken(Struct):
    grant: Grant
    used_at: float = math.inf
    response: TokenResponse = {}
    """To the request that used it."""


class TokenEndpoint:
    """The token endpoints without their sockets."""

    def __init__(
        self, seed: int, tokens: TokenRegistry, company_id: str, rules: TokenRules, location_ids: Iterable[str] = ()
    ) -> None:
        app_id = _hash(seed, "client", 0)[:24]
        self.client_id = f"{app_id}-sandbox"
        self.client_secret = _hash(seed, "secret", 0)[:36]
        self.installs = Installs(company_id, app_id, _hash(seed, "version", 0)[:24], location_ids)
        self.rules = rules
        self._tokens = tokens
        self._seed = seed
        self._codes: dict[str, _Code] = {}
        self._refresh_tokens: dict[str, _RefreshToken] = {}
        self._issued = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._issued}>"

    def issue_code(
        self,
        owner_id: str,
        scopes: Iterable[str],
        user_type: UserType,
        now: datetime,
        redirect_uri: str | None = None,
    ) -> str:
        """The code that a user who connects the app comes back with."""
        self.installs.add(owner_id, now)
        code = self._make("code")
        self._codes[code] = _Code(Grant(owner_id, tuple(scopes), user_type), redirect_uri)
        return code

    def revoke(self, owner_id: str) -> None:
        """A user removes the app: no refresh token of this owner works any more, not even in its grace period."""
        self.installs.remove(owner_id)
        tokens = self._refresh_tokens
        self._refresh_tokens = {one: known for one, known in tokens.items() if known.grant.location_id != owner_id}

    def exchange(self, form: Mapping[str, str], now: float) -> TokenResponse:
        """The response to `POST /oauth/token`. Raises `Refusal`."""
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            raise TokenRefusal(self.rules.refusal_status, "invalid_client", "Invalid client credentials!")
        match form.get("grant_type"):
            case "authorization_code":
                code = self._codes.pop(form.get("code", ""), None)
                sent_to = form.get("redirect_uri")
                if code is None or (code.redirect_uri and sent_to not in (None, code.redirect_uri)):
                    raise TokenRefusal(self.rules.refusal_status, "invalid_grant", "Invalid authorization code")
                return self._issue(code.grant, now)
            case "refresh_token":
                return self._rotate(form.get("refresh_token", ""), now)
            case _:
                raise Refusal(422, ["grant_type must be a valid enum value"])

    def exchange_for_location(self, form: Mapping[str, str], agency: Grant, now: float) -> TokenResponse:
        """The response to `POST /oauth/locationToken`. Raises `Refusal`."""
        location_id = form.get("locationId")
        if not location_id or form.get("companyId") != agency.location_id:
            raise Refusal(400, "Bad Request")
        if self.installs.find(location_id) is None:
            raise Refusal(400, "The app is not installed in this location.")  # status and text are guesses
        grant = Grant(location_id, tuple(sorted(set(agency.scopes) - {*AGENCY_SCOPES})))
        response = self._issue(grant, now, refreshable=self.rules.location_refresh)
        return {name: value for name, value in response.items() if name not in _ONLY_AT_CONNECTING}

    def _rotate(self, refresh_token: str, now: float) -> TokenResponse:
        known = self._refresh_tokens.get(refresh_token)
        if known is None or now > known.used_at + self.rules.grace:
            raise TokenRefusal(self.rules.refusal_status, "invalid_grant", "Invalid refresh token")
        if known.used_at == math.inf:
            known.used_at, known.response = now, self._issue(known.grant, now)
        return known.response

    def _issue(self, grant: Grant, now: float, *, refreshable: bool = True) -> TokenResponse:
        location_id, user_type = grant.location_id, grant.user_type
        access_token = self._tokens.issue(
            "access", location_id, grant.scopes, user_type, now + self.rules.expires_in, self.client_id
        )
        response: TokenResponse = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": self.rules.expires_in,
            "scope": " ".join(grant.scopes),
            "userType": user_type,
            "companyId": self.installs.company_id,
            "userId": _hash(self._seed, "user", 0)[:20],
            "planId": _hash(self._seed, "plan", 0)[:24],
            "isBulkInstallation": user_type == "Company",
            "installToFutureLocations": user_type == "Company",
            "approvedLocations": [location_id] if user_type == "Location" else list(self.installs.location_ids),
        }
        if user_type == "Location":
            response["locationId"] = location_id
        if refreshable:
            refresh_token = self._make("refresh")
            self._refresh_tokens[refresh_token] = _RefreshToken(grant)
            response["refresh_token"] = refresh_token
            response["refreshTokenId"] = _hash(self._seed, "refresh id", self._issued)[:24]
        return response

    def _make(self, kind: str) -> str:
        self._issued += 1
        return _hash(self._seed, kind, self._issued)


def read_form(body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
    """Read a form, or the JSON of version v3, whose names become those of the older versions."""
    is_v3 = headers.get("version") == "v3"
    if is_v3 and "json" in headers.get("content-type", ""):
        fields = _read_json(body)
    else:
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return {_SNAKE.get(name, name): value for name, value in fields.items()} if is_v3 else fields


def rename_for(headers: Mapping[str, str], response: TokenResponse) -> TokenResponse:
    """A response by the names of the requested version."""
    if headers.get("version") != "v3":
        return response
    return {_CAMEL.get(name, name): value for name, value in response.items()}


def describe_form(form: Mapping[str, str]) -> str:
    """A form for the log, without its secrets. An unknown name may be one: a body that is not a form."""
    return "&".join(_describe_field(name, value) for name, value in form.items())


def _read_json(body: bytes) -> dict[str, str]:
    try:
        return msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.MsgspecError, ValueError):
        return {}


def _describe_field(name: str, value: str) -> str:
    if name in _LOGGED:
        return f"{name}={value}"
    return f"{name}=…" if name in _SECRET else "…"


def _hash(seed: int, kind: str, number: int) -> str:
    return hashlib.sha256(f"{seed}:oauth {kind}:{number}".encode()).hexdigest()
