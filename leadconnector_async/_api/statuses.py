"""What an HTTP status code means: one table, which every decision by status code uses.

| status code | error | transient | ambiguous | may still run | costs budget | inconclusive |
| --- | --- | --- | --- | --- | --- | --- |
| 2xx | | no | no | no | yes | no |
| 1xx, 3xx | `ApiError` | no | yes | no | yes | no |
| 400 | `BadRequestError` | no | no | no | yes | no |
| 401 | `AuthenticationError` | no | no | no | no | yes |
| 403 | `PermissionDeniedError` | if it is not the API's | no | no | no | yes |
| 404 | `NotFoundError` | no | no | no | yes | no |
| 408, 425 | `ApiError` | yes | no | no | yes | yes |
| 422 | `UnprocessableError` | no | no | no | yes | no |
| 429 | `RateLimitedError` | yes | no | no | no | yes |
| other 4xx | `ApiError` | no | no | no | yes | no |
| 500, 503 | `ServerError` | yes | yes | no | yes | no |
| 502, 504, 520 to 530 | `ServerError` | yes | yes | yes | yes | no |
| other 5xx | `ServerError` | no | yes | no | yes | no |
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ..exceptions import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnprocessableError,
)


class StatusTraits(Struct, frozen=True):
    """One row of the table."""

    error_type: type[ApiError] = ApiError
    """The error it is raised as, unless a message is more specific."""
    is_transient: bool = False
    """Retryable: the same request may succeed later, and nothing was changed."""
    is_ambiguous: bool = False
    """A write may have been applied nevertheless."""
    may_still_run: bool = False
    """The server may still be working on the request: a gateway responded in its place."""
    costs_budget: bool = True
    """A retry is charged to the retry budget, so that retries do not multiply an outage. A 429 pauses the location,
    which limits retries already; what the edge refuses does not reach the server."""
    is_inconclusive: bool = False
    """It tells nothing about earlier attempts: it is about the token, the rate or the connection."""
    is_about_content: bool = False
    """It refuses what the request asks for, so its message can name a more specific error."""
    is_from_network: bool = False
    """The API never sends it: a network asks for a sign-in, or its proxy for a password."""
    is_moved: bool = False
    """It asks for the same request, body included, at another address."""
    refuses_grant: bool = False
    """From the token endpoint: the token, code or client was refused, not just this request."""


_ACCESS: Final = StatusTraits(PermissionDeniedError, is_inconclusive=True, costs_budget=False, refuses_grant=True)
_EARLY: Final = StatusTraits(is_transient=True, is_inconclusive=True)
_GATEWAY: Final = StatusTraits(ServerError, is_transient=True, is_ambiguous=True, may_still_run=True)
_FAILED: Final = StatusTraits(ServerError, is_transient=True, is_ambiguous=True)
_OTHER_5XX: Final = StatusTraits(ServerError, is_ambiguous=True)
_OTHER_4XX: Final = StatusTraits(is_about_content=True)
_REDIRECT: Final = StatusTraits(is_ambiguous=True, is_from_network=True)
_SWITCHED: Final = StatusTraits(is_ambiguous=True)
"""1xx: a switch of protocols, which says nothing about what became of a write."""
_NO_RESPONSE: Final = StatusTraits()
_SUCCESS: Final = StatusTraits(refuses_grant=True)
"""The token endpoint's error can come inside one."""
_TABLE: Final[dict[int, StatusTraits]] = {
    400: StatusTraits(BadRequestError, is_about_content=True, refuses_grant=True),
    401: StatusTraits(AuthenticationError, is_inconclusive=True, costs_budget=False, refuses_grant=True),
    403: _ACCESS,
    404: StatusTraits(NotFoundError, is_about_content=True),
    407: StatusTraits(is_from_network=True),
    **dict.fromkeys((408, 425), _EARLY),
    422: StatusTraits(UnprocessableError, is_about_content=True, refuses_grant=True),
    429: StatusTraits(RateLimitedError, is_transient=True, is_inconclusive=True, costs_budget=False),
    **dict.fromkeys((307, 308), StatusTraits(is_ambiguous=True, is_from_network=True, is_moved=True)),
    **dict.fromkeys((500, 503), _FAILED),
    511: StatusTraits(ServerError, is_ambiguous=True, is_from_network=True),
    **dict.fromkeys((502, 504, *range(520, 531)), _GATEWAY),
}
_BY_CLASS: Final = {1: _SWITCHED, 2: _SUCCESS, 3: _REDIRECT, 4: _OTHER_4XX}


def find_traits(status: int | None) -> StatusTraits:
    """The row of a status code; `None` is an error without a response."""
    if status is None:
        return _NO_RESPONSE
    return _TABLE.get(status) or _BY_CLASS.get(status // 100, _OTHER_5XX)


def is_error(status: int | None) -> bool:
    """Whether a status code is that of an error response."""
    return status is not None and status >= 400
