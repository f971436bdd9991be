"""Requests and responses of the token endpoints: a form to a request; a response to a token or an error.

A secret that the server echoes is cut out of every text. Whether `invalid_grant` comes as a 400 or as a 401, and
in which words, is unknown [guess]: all variants are understood.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote_plus, urlencode

import msgspec
from msgspec import Raw, Struct, field, structs

from .._api.body import find_refusal, is_foreign, repair, trim
from .._api.decode import Read
from .._api.errors import LARGEST_READ, UNREADABLE, classify_token_refusal, read_error, redact
from .._api.operations import Operation
from .._api.request import Request
from .._api.statuses import find_traits
from ..exceptions import ApiError, AuthenticationError, DecodeError, LeadConnectorError, ReconnectRequiredError
from ..tokens import StoredToken

OAUTH_TOKEN: Final = Operation("oauth_token", "POST", "/oauth/token", writes=True, repeatable=True)
"""Repeatable for about 30 seconds: for that long, the server accepts a refresh token a second time."""
OAUTH_LOCATION_TOKEN: Final = Operation(
    "oauth_location_token", "POST", "/oauth/locationToken", writes=True, repeatable=True
)

_LIFETIME: Final = 86_399.0
"""Lifetime of an access token in seconds, if the response does not state it [doc]."""
_GRANT: Final = re.compile(
    rb"invalid[_ ]grant|invalid (?:refresh token|authorization code)|refresh token is invalid", re.I
)
_CLIENT: Final = re.compile(rb"invalid[_ ]client|unauthorized_client", re.I)


class TokenResponse(Struct, frozen=True, rename="camel"):
    """A response of either token endpoint [doc]. Its repr shows no secrets.

    Only the tokens are decoded: nothing else may cause their loss, because they are sent only once.
    """

    access_token: str = field(name="access_token", default="")
    refresh_token: str | None = field(name="refresh_token", default=None)
    expires_in: Raw = field(name="expires_in", default_factory=Raw)
    scope: Raw = Raw()
    user_type: Raw = Raw()
    location_id: Raw = Raw()
    company_id: Raw = Raw()
    user_id: Raw = Raw()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


class CamelTokenResponse(TokenResponse, frozen=True, rename="camel"):
    """The same in version v3 [doc]; accepted in every version, because tokens that are not read are lost."""

    access_token: str = ""
    refresh_token: str | None = None
    expires_in: Raw = Raw()


_decode: Final = msgspec.json.Decoder(TokenResponse).decode
_decode_camel: Final = msgspec.json.Decoder(CamelTokenResponse).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_number: Final = msgspec.json.Decoder(float, strict=False).decode


def build_token_request(operation: Operation, form: Mapping[str, str | None]) -> Request[TokenResponse]:
    """Encode a form, omitting fields that are `None`."""
    fields = {name: value for name, value in form.items() if value is not None}
    return Request(operation, operation.path, urlencode(fields).encode(), _read)


def build_stored_token(
    response: TokenResponse, asked_at: float, client_id: str, known: StoredToken | None = None
) -> StoredToken:
    """What to store of a response. Fields that it omits, or that cannot be read, are those of `known`.

    Times in epoch seconds.
    """
    return StoredToken(
        access_token=response.access_token,
        expires_at=asked_at + _read_lifetime(response.expires_in),
        issued_at=asked_at,
        refresh_token=response.refresh_token or (known.refresh_token if known else None),
        user_type=_read_text(response.user_type) or (known.user_type if known else "Location"),
        location_id=_read_text(response.location_id) or (known.location_id if known else None),
        company_id=_read_text(response.company_id) or (known.company_id if known else None),
        user_id=_read_text(response.user_id) or (known.user_id if known else None),
        scope=_read_text(response.scope) or (known.scope if known else ""),
        client_id=client_id,
    )


def read_token(request: Request[TokenResponse], status: int, body: bytes) -> TokenResponse | DecodeError:
    """Read a 2xx: as it is, or repaired, because a pair of tokens that is not read is lost."""
    reason = "it contains no token"
    if is_foreign(body):
        reason = "it is not the API's but, say, a proxy's or a sign-in page"
    else:
        content = trim(body)
        try:
            return request.read(content).value
        except UNREADABLE:
            pass
        try:
            return _rejoin(request.read(repair(content)).value)
        except UNREADABLE as error:
            reason = type(error).__name__
    text = f"The token endpoint's response cannot be read (HTTP {status}, {len(body)} bytes: {reason})."
    return DecodeError(text, status=status, outcome="not_applied")


def find_token_refusal(status: int, body: bytes) -> int | None:
    """The status code of the error that a 2xx carries in its JSON, or `None`."""
    return None if is_foreign(body) else find_refusal(status, repair(trim(body)), known=False, deletes=False)


def _rejoin(response: TokenResponse) -> TokenResponse:
    """Repairing leaves whitespace inside a token, and tokens contain none."""
    refresh_token = "".join(response.refresh_token.split()) if response.refresh_token else response.refresh_token
    return structs.replace(
        response, access_token="".join(response.access_token.split()), refresh_token=refresh_token
    )


def read_token_refusal(status: int, body: bytes, owner: str, secrets: Iterable[str]) -> ApiError:
    """Turn an error response into the error that says what to do. `owner` names the location or agency."""
    clean = _hide_all(body[:LARGEST_READ].decode("latin-1"), secrets).encode("latin-1")
    error = read_error(status, clean)
    refuses = find_traits(status).refuses_grant
    if refuses and _GRANT.search(clean):
        hint = (
            f"The grant of {owner} was used, has expired or was revoked: send a user through authorize_url(…) "
            "again, and pass the new code to exchange_code(…)."
        )
        return _restate(ReconnectRequiredError, error, hint)
    if refuses and _CLIENT.search(clean):
        hint = "Copy client_id and client_secret again from the app's settings; users need not reconnect."
        return _restate(AuthenticationError, error, hint)
    return error


def is_stray(error: ApiError, body: bytes, *, renewable: bool) -> bool:
    """Whether a refusal names neither the grant nor the app, nor what to fix: it may be stray.

    `renewable`: the request carries a token, and another one is requested if this one may have expired.
    """
    start = body[:LARGEST_READ]
    refusal = classify_token_refusal(error)
    may_be = refusal == "stray" or (refusal == "expired" and not renewable)
    return may_be and not (_GRANT.search(start) or _CLIENT.search(start))


def hide(error: LeadConnectorError, secrets: Iterable[str]) -> None:
    """Cut secrets out of an error's texts."""
    known = list(secrets)
    error.args = (_hide_all(str(error.args[0]), known),)
    error.trace_id = _hide_all(error.trace_id, known) if error.trace_id else None
    if isinstance(error, ApiError):
        error.messages = [_hide_all(message, known) for message in error.messages]


def _hide_all(text: str, secrets: Iterable[str]) -> str:
    return redact(text, *(form for secret in secrets for form in (secret, quote_plus(secret))))


def _restate(error_type: type[ApiError], error: ApiError, hint: str) -> ApiError:
    return error_type(
        f"{error.args[0]} {hint}", messages=error.messages, status=error.status, trace_id=error.trace_id
    )


def _read_text(value: msgspec.Raw) -> str:
    try:
        return _decode_text(value)
    except UNREADABLE:
        return ""


def _read_lifetime(value: msgspec.Raw) -> float:
    """Seconds; an invalid number counts as omitted."""
    try:
        seconds = _decode_number(value)
    except UNREADABLE:
        return _LIFETIME
    return seconds if math.isfinite(seconds) and seconds > 0 else _LIFETIME


def _read(body: bytes) -> Read[TokenResponse]:
    response = _decode(body)
    response = response if response.access_token else _decode_camel(body)
    if not response.access_token:
        raise ValueError
    return Read(response)
