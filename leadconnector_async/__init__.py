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
    StaleWebhookError,
    TokenExpiredError,
    TokenStoreError,
    TransportError,
    UnprocessableError,
    UnreadableWebhookError,
    VerificationError,
    WebhookError,
    WebhookSignatureError,
)
from .models import (
    Appointment,
    AppointmentCreate,
    AppointmentStatus,
    AppointmentUpdate,
    BlockSlot,
    BlockSlotCreate,
    BlockSlotUpdate,
    Calendar,
    MeetingLocationType,
    Note,
)
from .oauth import AppTokens, OAuthApp
from .policy import Priority, RateLimit, RetryPolicy, Timeouts
from .reschedule import Change, Difference
from .token_stores import FileTokenStore, MemoryTokenStore, TokenStore
from .tokens import StoredToken

__all__ = [
    "UNSET",
    "Answer",
    "ApiError",
    "AppTokens",
    "Appointment",
    "AppointmentCreate",
    "AppointmentStatus",
    "AppointmentUpdate",
    "AuthenticationError",
    "BadRequestError",
    "BlockSlot",
    "BlockSlotCreate",
    "BlockSlotUpdate",
    "Calendar",
    "Change",
    "ConfigurationError",
    "DailyLimitError",
    "DeadlineExceededError",
    "DecodeError",
    "Difference",
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
    "Note",
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
    "StaleWebhookError",
    "StoredToken",
    "Timeouts",
    "TokenExpiredError",
    "TokenProvider",
    "TokenStore",
    "TokenStoreError",
    "TransportError",
    "UnprocessableError",
    "UnreadableWebhookError",
    "VerificationError",
    "WebhookError",
    "WebhookSignatureError",
    "__version__",
    "answer_of",
]
