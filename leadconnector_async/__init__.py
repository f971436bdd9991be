"""Async client for HighLevel's (LeadConnector's) calendar API: limits kept, failures retried, nothing lost."""

from msgspec import UNSET

from ._quota import LocationQuota, Quota
from ._version import __version__
from ._wire import JsonValue
from .answer import Answer, answer_of
from .auth import TokenProvider
from .client import LeadConnector
from .events import Event
from .exceptions import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    DailyLimitError,
    DeadlineExceededError,
    DecodeError,
    InvalidEventError,
    InvalidRequestError,
    LeadConnectorError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    ReconnectRequiredError,
    ServerError,
    SlotUnavailableError,
    TokenExpiredError,
    TokenStoreError,
    TransportError,
    UnprocessableError,
)
from .models import Appointment, AppointmentStatus, AppointmentUpdate, MeetingLocationType
from .oauth import AppTokens, OAuthApp
from .policy import Priority, RateLimit, RetryPolicy, Timeouts
from .token_stores import FileTokenStore, MemoryTokenStore, TokenStore
from .tokens import StoredToken

__all__ = [
    "UNSET",
    "Answer",
    "ApiError",
    "AppTokens",
    "Appointment",
    "AppointmentStatus",
    "AppointmentUpdate",
    "AuthenticationError",
    "BadRequestError",
    "ConfigurationError",
    "DailyLimitError",
    "DeadlineExceededError",
    "DecodeError",
    "Event",
    "FileTokenStore",
    "InvalidEventError",
    "InvalidRequestError",
    "JsonValue",
    "LeadConnector",
    "LeadConnectorError",
    "LocationQuota",
    "MeetingLocationType",
    "MemoryTokenStore",
    "NotFoundError",
    "OAuthApp",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "Priority",
    "Quota",
    "RateLimit",
    "RateLimitedError",
    "ReconnectRequiredError",
    "RetryPolicy",
    "ServerError",
    "SlotUnavailableError",
    "StoredToken",
    "Timeouts",
    "TokenExpiredError",
    "TokenProvider",
    "TokenStore",
    "TokenStoreError",
    "TransportError",
    "UnprocessableError",
    "__version__",
    "answer_of",
]
