"""The token endpoints of the sandbox: codes, single-use refresh tokens, and what each token may do."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from .rules import Refusal
from .settings import check_duration, check_number, check_switch

_SNAKE: Final = {
    "clientId": "client_id",
    "clientSecret": "client_secret",
    "grantType": "grant_type",
    "refreshToken": "refresh_token",
    "userType": "user_type",
    "redirectUri": "redirect_uri",
}
"""The names of version v3, and what the older versions say instead."""
_CAMEL: Final = {
    "access_token": "accessToken",
    "refresh_token": "refreshToken",
    "expires_in": "expiresIn",
    "token_type": "tokenType",
}
"""Of an answer: the names of the older versions, and what v3 says instead."""
_PLAIN: Final = frozenset({"grant_type", "user_type", "companyId", "locationId", "client_id", "redirect_uri"})
"""What of a form may be logged."""
_SECRET: Final = frozenset({"client_secret", "code", "refresh_token"})
"""What of a form may be named."""

Content = dict[str, object]


class TokenRules(Struct, frozen=True, kw_only=True):
    """How the token endpoints behave."""

    expires_in: int = 86_399
    """Seconds that an access token lives, by the sandbox's clock [doc]."""
    grace: float = 30.0
    """Seconds for which a used refresh token gives the same answer again [doc]."""
    refusal_status: int = 400
    """Status of `invalid_grant` and `invalid_client`: 400 or 401 [guess]."""
    location_refresh: bool = False
    """Whether a location's token that an agency asked for has a refresh token [field: it may be missing]."""

    def __post_init__(self) -> None:
        check_duration("expires_in", self.expires_in, may_be_zero=True)
        check_duration("grace", self.grace, may_be_zero=True)
        check_number("refusal_status", self.refusal_status, 400, 599)
        check_switch("location_refresh", self.location_refresh)


class TokenRefusal(Refusal):
    """A refusal in OAuth's own shape [guess: its words]."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(status, description)
        self.error = error


class _Right(Struct, frozen=True):
    """What a code or a refresh token gives the right to."""

    owner_id: str
    user_type: UserType
    scopes: tuple[str, ...]


class _Answered(Struct, frozen=True):
    at: float
    content: Content


class TokenEndpoint:
    """The token endpoints without their sockets."""

    def __init__(
        self, seed: int, tokens: TokenRegistry, company_id: str, rules: TokenRules, location_ids: Iterable[str] = ()
    ) -> None:
        self.client_id = f"{_hash(seed, 'client', 0)[:24]}-sandbox"
        self.client_secret = _hash(seed, "secret", 0)[:36]
        self.company_id = company_id
        self.user_id = _hash(seed, "user", 0)[:20]
        """The user who connects the app."""
        self._location_ids = tuple(location_ids)
        self.rules = rules
        self._seed = seed
        self._tokens = tokens
        self._codes: dict[str, _Right] = {}
        self._refresh: dict[str, _Right] = {}
        self._answered: dict[str, _Answered] = {}
        self._issued = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._issued}>"

    def issue_code(self, owner_id: str, scopes: Iterable[str], user_type: UserType) -> str:
        """What a user who connects the app is sent back with."""
        code = self._make("code")
        self._codes[code] = _Right(owner_id, user_type, tuple(scopes))
        return code

    def revoke(self, owner_id: str) -> None:
        """A user removes the app: no refresh token of this owner works any more, not even in its grace."""
        gone = [token for token, right in self._refresh.items() if right.owner_id == owner_id]
        for token in gone:
            del self._refresh[token]
            self._answered.pop(token, None)

    def exchange(self, form: Mapping[str, str], now: float) -> Content:
        """The answer of `POST /oauth/token`. Raises `Refusal`."""
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            raise TokenRefusal(self.rules.refusal_status, "invalid_client", "Invalid client credentials!")
        match form.get("grant_type"):
            case "authorization_code":
                right = self._codes.pop(form.get("code", ""), None)
                if right is None:
                    raise TokenRefusal(self.rules.refusal_status, "invalid_grant", "Invalid authorization code")
                return self._issue(right, now)
            case "refresh_token":
                return self._rotate(form.get("refresh_token", ""), now)
            case _:
                raise Refusal(422, ["grant_type must be a valid enum value"])

    def exchange_for_location(self, form: Mapping[str, str], grant: Grant, now: float) -> Content:
        """The answer of `POST /oauth/locationToken`. Raises `Refusal`."""
        location_id = form.get("locationId")
        if not location_id or form.get("companyId") != grant.location_id:
            raise Refusal(400, "Bad Request")
        right = _Right(location_id, "Location", tuple(sorted(grant.scopes)))
        content = self._issue(right, now, renewable=self.rules.location_refresh)
        for name in ("companyId", "approvedLocations", "isBulkInstallation", "installToFutureLocations"):
            del content[name]
        return content

    def _rotate(self, refresh_token: str, now: float) -> Content:
        right = self._refresh.get(refresh_token)
        answered = self._answered.get(refresh_token)
        if right is None or (answered is not None and now > answered.at + self.rules.grace):
            raise TokenRefusal(self.rules.refusal_status, "invalid_grant", "Invalid refresh token")
        if answered is None:
            answered = self._answered[refresh_token] = _Answered(now, self._issue(right, now))
        return answered.content

    def _issue(self, right: _Right, now: float, *, renewable: bool = True) -> Content:
        access_token = self._tokens.issue(
            "access", right.owner_id, right.scopes, right.user_type, now + self.rules.expires_in
        )
        content: Content = {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": self.rules.expires_in,
            "scope": " ".join(right.scopes),
            "userType": right.user_type,
            "companyId": self.company_id,
            "userId": self.user_id,
            "planId": f"{_hash(self._seed, 'plan', 0)[:24]}",
            "isBulkInstallation": right.user_type == "Company",
            "installToFutureLocations": right.user_type == "Company",
            "approvedLocations": self._list_approved(right),
        }
        if right.user_type == "Location":
            content["locationId"] = right.owner_id
        if renewable:
            refresh_token = self._make("refresh")
            self._refresh[refresh_token] = right
            content["refresh_token"] = refresh_token
            content["refreshTokenId"] = _hash(self._seed, "refresh id", self._issued)[:24]
        return content

    def _list_approved(self, right: _Right) -> list[str]:
        return [right.owner_id] if right.user_type == "Location" else list(self._location_ids)

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


def render_tokens(content: Content, headers: Mapping[str, str]) -> Content:
    """An answer by the names of the version that was asked for."""
    if headers.get("version") != "v3":
        return content
    return {_CAMEL.get(name, name): value for name, value in content.items()}


def describe_form(form: Mapping[str, str]) -> str:
    """A form for the log, without its secrets. A name that nobody knows may be one: a body that is no form."""
    return "&".join(_describe_field(name, value) for name, value in form.items())


def _read_json(body: bytes) -> dict[str, str]:
    try:
        return msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.MsgspecError, ValueError):
        return {}


def _describe_field(name: str, value: str) -> str:
    if name in _PLAIN:
        return f"{name}={value}"
    return f"{name}=…" if name in _SECRET else "…"


def _hash(seed: int, kind: str, number: int) -> str:
    return hashlib.sha256(f"{seed}:oauth {kind}:{number}".encode()).hexdigest()


TokenKind: TypeAlias = Literal["pit", "access"]
UserType: TypeAlias = Literal["Location", "Company"]

WRITE: Final = "calendars/events.write"
READ: Final = "calendars/events.readonly"
CALENDARS: Final = "calendars.readonly"


class Grant(Struct):
    """What a token stands for."""

    location_id: str
    scopes: frozenset[str]
    user_type: UserType
    expires_at: float = math.inf
    """By the sandbox's clock."""


class TokenRegistry:
    """All tokens that were issued."""

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
        user_type: UserType,
        expires_at: float = math.inf,
    ) -> str:
        """Make a token. An agency's stands for the agency's id in place of a location's."""
        text = hashlib.sha256(f"{self._seed}:token:{len(self._grants)}".encode()).hexdigest()
        token = f"pit-{text[:36]}" if kind == "pit" else f"eyJ.{text}"
        self._grants[token] = Grant(location_id, frozenset(scopes), user_type, expires_at)
        return token

    def expire(self, token: str) -> None:
        """Let a token expire. Raises `KeyError` for an unknown one."""
        self._grants[token].expires_at = -math.inf

    def check(self, authorization: str | None, scope: str, now: float) -> Grant:
        """What the token of a request for a location stands for. Raises `Refusal`."""
        grant = self._find(authorization, now)
        if grant.user_type == "Company":
            raise Refusal(401, "Token's user type mismatch!")
        if scope not in grant.scopes:
            raise Refusal(401, "The token is not authorized for this scope.")
        return grant

    def check_agency(self, authorization: str | None, now: float) -> Grant:
        """What the token of a request for an agency stands for. Raises `Refusal`."""
        grant = self._find(authorization, now)
        if grant.user_type != "Company":
            raise Refusal(401, "Token's user type mismatch!")
        return grant

    def _find(self, authorization: str | None, now: float) -> Grant:
        scheme, _, token = (authorization or "").partition(" ")
        grant = self._grants.get(token) if scheme.lower() == "bearer" else None
        if grant is None or now >= grant.expires_at:
            is_pit = token.startswith("pit-")
            raise Refusal(401, "Invalid Private Integration token" if is_pit else "Invalid JWT")
        return grant
