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
    ServerError,
    SlotUnavailableError,
    StaleWebhookError,
    TokenExpiredError,
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
from .policy import Priority, RateLimit, RetryPolicy, Timeouts
from .reschedule import Change, Difference

__all__ = [
    "UNSET",
    "Answer",
    "ApiError",
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
    "InvalidEventError",
    "InvalidRequestError",
    "JsonValue",
    "LeadConnector",
    "LeadConnectorError",
    "LocationQuota",
    "MeetingLocationType",
    "NotFoundError",
    "Note",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "Priority",
    "Quota",
    "RateLimit",
    "RateLimitedError",
    "RetryPolicy",
    "ServerError",
    "SlotUnavailableError",
    "StaleWebhookError",
    "Timeouts",
    "TokenExpiredError",
    "TokenProvider",
    "TransportError",
    "UnprocessableError",
    "UnreadableWebhookError",
    "VerificationError",
    "WebhookError",
    "WebhookSignatureError",
    "__version__",
    "answer_of",
]
