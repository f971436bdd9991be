"""What stops a location, and not only a row.

Must not import the client.
"""

from __future__ import annotations

import asyncio
from typing import Final

from ..exceptions import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    DailyLimitError,
    DecodeError,
    LeadConnectorError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    TokenStoreError,
    TransportError,
)
from .states import Stopped

_NO_ACCESS: Final = (AuthenticationError, PermissionDeniedError, ConfigurationError, TokenStoreError)


_ON_THE_WAY: Final = frozenset({*range(300, 400), 407})
"""The API never redirects: a network asks for a sign-in, or its proxy for a password. No row is to blame for it."""


_SOON: Final = 300.0
"""Seconds for which a job waits for the day's budget, in place of stopping until somebody resumes it."""


def is_passing(error: LeadConnectorError) -> bool:
    """Tell whether the same may pass later, although nothing about the rows or the token has changed."""
    if isinstance(error, TransportError) or (isinstance(error, DecodeError) and error.transient):
        return True
    return isinstance(error, ApiError) and (error.transient or error.status in _ON_THE_WAY)


def describe_stop(error: LeadConnectorError, location: str) -> Stopped | None:
    """Why the location cannot go on; `None` if the error is the row's own.

    A page in place of an answer, of the edge or of a network, says nothing of the token, whatever its status is.
    """
    reason = str(error.args[0])
    if isinstance(error, DailyLimitError):
        return Stopped("daily", reason, location or None, error.hint_seconds)
    if is_passing(error) or isinstance(error, RateLimitedError | ServerError):
        return Stopped("unreachable", reason, location or None)
    if isinstance(error, _NO_ACCESS):
        return Stopped("authentication", reason, location or None)
    return None


async def outlast(stopped: Stopped) -> bool:
    """Wait until the day's budget is back, or may be looked at again, if that is soon; `False` if it is not.

    One odd header of one answer says that the budget is spent: the next request, a minute later, shows it.
    """
    seconds = stopped.resume_seconds
    if stopped.kind != "daily" or seconds is None or seconds > _SOON:
        return False
    await asyncio.sleep(seconds)
    return True
