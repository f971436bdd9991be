"""Async client for HighLevel's (LeadConnector's) calendar API: rate limits, retries, bulk jobs.

Names that only OAuth apps need are imported on first use. Inside the package, imports only point down: from `cli`
through `jobs`, `client`, `_call`, `_limiter`, `_retry` and `_api` to `_validation`. A test enforces every layer.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from ._system.start import end_quietly, is_command

if is_command(sys.orig_argv):  # before the imports below, which take most of a command's start-up
    end_quietly()

from msgspec import UNSET

from ._api.request import JsonValue
from ._calendar import SlotOffer, SlotOwner
from ._client.booking import Booking, BookingConflict, BookingDetails
from ._limiter.headers import LocationQuota, Quota
from ._version import __version__
from .access import Access, PendingWrite
from .auth import TokenProvider
from .client import LeadConnector
from .events import Event
from .exceptions import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ContactNotFoundError,
    DailyLimitError,
    DeadlineExceededError,
    DecodeError,
    InvalidEventError,
    InvalidRequestError,
    JobConflictError,
    JobNotFoundError,
    JournalError,
    KeyReusedError,
    LeadConnectorError,
    NotApprovedError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    PlanError,
    PreconditionFailedError,
    RateLimitedError,
    ReadOnlyError,
    ReconnectRequiredError,
    ServerError,
    SlotUnavailableError,
    StaleWebhookError,
    StoreUnavailableError,
    TokenExpiredError,
    TokenStoreError,
    TransportError,
    UnprocessableError,
    UnreadableWebhookError,
    VerificationError,
    WebhookError,
    WebhookSignatureError,
    WorkersMissingError,
)
from .inputs import ModelLike, Payload
from .models import (
    Appointment,
    AppointmentCreate,
    AppointmentStatus,
    AppointmentUpdate,
    BlockSlot,
    BlockSlotCreate,
    BlockSlotUpdate,
    Calendar,
    Contact,
    ContactAppointment,
    InstalledLocation,
    MeetingLocationType,
    Note,
)
from .policy import Priority, RateLimit, RetryPolicy, Timeouts
from .reschedule.plan import Change, Difference
from .response import Response, with_response

if TYPE_CHECKING:
    from ._tokens.keyring import KeyringTokenStore
    from ._tokens.shared import RedisTokenStore, SQLTokenStore
    from .oauth import AppTokens, OAuthApp
    from .shared import Shared
    from .token_stores import FileTokenStore, MemoryTokenStore, TokenStore
    from .tokens import StoredToken

__all__ = [
    "UNSET",
    "Access",
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
    "Booking",
    "BookingConflict",
    "BookingDetails",
    "Calendar",
    "Change",
    "ConfigurationError",
    "Contact",
    "ContactAppointment",
    "ContactNotFoundError",
    "DailyLimitError",
    "DeadlineExceededError",
    "DecodeError",
    "Difference",
    "Event",
    "FileTokenStore",
    "InstalledLocation",
    "InvalidEventError",
    "InvalidRequestError",
    "JobConflictError",
    "JobNotFoundError",
    "JournalError",
    "JsonValue",
    "KeyReusedError",
    "KeyringTokenStore",
    "LeadConnector",
    "LeadConnectorError",
    "LocationQuota",
    "MeetingLocationType",
    "MemoryTokenStore",
    "ModelLike",
    "NotApprovedError",
    "NotFoundError",
    "Note",
    "OAuthApp",
    "OutcomeUnknownError",
    "Payload",
    "PendingWrite",
    "PermissionDeniedError",
    "PlanError",
    "PreconditionFailedError",
    "Priority",
    "Quota",
    "RateLimit",
    "RateLimitedError",
    "ReadOnlyError",
    "ReconnectRequiredError",
    "RedisTokenStore",
    "Response",
    "RetryPolicy",
    "SQLTokenStore",
    "ServerError",
    "Shared",
    "SlotOffer",
    "SlotOwner",
    "SlotUnavailableError",
    "StaleWebhookError",
    "StoreUnavailableError",
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
    "WorkersMissingError",
    "__version__",
    "with_response",
]

_HOMES: Final = {
    "AppTokens": "oauth",
    "FileTokenStore": "token_stores",
    "KeyringTokenStore": "_tokens.keyring",
    "MemoryTokenStore": "token_stores",
    "OAuthApp": "oauth",
    "RedisTokenStore": "_tokens.shared",
    "SQLTokenStore": "_tokens.shared",
    "Shared": "shared",
    "StoredToken": "tokens",
    "TokenStore": "token_stores",
}

if not TYPE_CHECKING:  # otherwise type checkers would accept any name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
