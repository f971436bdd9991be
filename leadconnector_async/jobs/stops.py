"""What stops a location, and not only a row.

Pure. Must not import the client.
"""

from __future__ import annotations

from typing import Final

from ..exceptions import (
    AuthenticationError,
    ConfigurationError,
    DailyLimitError,
    LeadConnectorError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    TokenStoreError,
    TransportError,
)
from .states import Stopped

_NO_ACCESS: Final = (AuthenticationError, PermissionDeniedError, ConfigurationError, TokenStoreError)
_PASSING: Final = (TransportError, RateLimitedError, ServerError)


def describe_stop(error: LeadConnectorError, location: str) -> Stopped | None:
    """Why the location cannot go on; `None` if the error is the row's own."""
    reason = str(error.args[0])
    if isinstance(error, DailyLimitError):
        return Stopped("daily", reason, location or None, error.hint_seconds)
    if isinstance(error, _NO_ACCESS):
        return Stopped("authentication", reason, location or None)
    if isinstance(error, _PASSING):
        return Stopped("unreachable", reason, location or None)
    return None
