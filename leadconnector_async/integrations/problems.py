"""Errors as problem details (RFC 9457): one table from the class of an error to a status code.

Needs no web framework. A problem says nothing that the server or a store said: its text is that of the table. What
it says of an invalid request are the names of fields, and what is wrong with them.

Programs repeat requests by themselves after 429, 502, 503 and 504. So these four are used only if nothing was
written: a write that may have been applied is a 500, and `outcome` says which.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from .._model import Model
from ..exceptions import (
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
    Outcome,
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

MEDIA_TYPE: Final = "application/problem+json"

_MISCONFIGURED: Final = "This service is not set up correctly."
_UNREACHABLE: Final = "The calendar service could not be reached."
_FAILED: Final = "The calendar service failed."
_REFUSED_TOKEN: Final = "The calendar service refused the token of this service."  # noqa: S105 - a message
_WEBHOOK: Final = "This webhook is not accepted."
TABLE: Final[dict[type[LeadConnectorError], tuple[int, str]]] = {
    LeadConnectorError: (500, "This service failed."),
    ConfigurationError: (500, _MISCONFIGURED),
    InvalidRequestError: (422, "The request is not valid."),
    PlanError: (422, "The plan has invalid rows. Nothing was changed."),
    KeyReusedError: (422, "This key was used for another request."),
    ReadOnlyError: (403, "This service may not write."),
    NotApprovedError: (403, "The change was not approved."),
    JobConflictError: (409, "There is already a job of this name, or the job cannot do this now: read its phase."),
    JobNotFoundError: (404, "There is no such job."),
    JournalError: (503, "The job cannot be read or written at the moment."),
    WorkersMissingError: (503, "There is no worker for this job at the moment."),
    TransportError: (502, _UNREACHABLE),
    OutcomeUnknownError: (
        502,
        "It is not known whether the change was applied: read the event before you repeat it.",
    ),
    DecodeError: (502, "The calendar service's response cannot be read."),
    ContactNotFoundError: (404, "There is no such contact."),
    VerificationError: (502, "The calendar service reported success, but the change does not show."),
    PreconditionFailedError: (409, "Somebody else has changed the event."),
    DeadlineExceededError: (504, "This took too long."),
    WebhookError: (403, _WEBHOOK),
    WebhookSignatureError: (403, _WEBHOOK),
    StaleWebhookError: (403, _WEBHOOK),
    UnreadableWebhookError: (400, _WEBHOOK),
    TokenStoreError: (503, "The stored tokens are not available at the moment."),
    StoreUnavailableError: (503, "The shared store is not available at the moment."),
    ApiError: (502, _FAILED),
    BadRequestError: (400, "The calendar service rejected the request."),
    SlotUnavailableError: (409, "This time is not available."),
    InvalidEventError: (404, "There is no such event."),
    AuthenticationError: (502, _REFUSED_TOKEN),
    TokenExpiredError: (502, _REFUSED_TOKEN),
    ReconnectRequiredError: (409, "The location must be connected to this app again."),
    PermissionDeniedError: (403, "The location does not allow this."),
    NotFoundError: (404, "The calendar service does not know this path."),
    UnprocessableError: (422, "The calendar service did not accept a value."),
    RateLimitedError: (429, "The rate limit of the location is used up."),
    DailyLimitError: (429, "The daily limit of the location is used up."),
    ServerError: (502, _FAILED),
}
"""The status code of each error, and what its sender is told."""
_REPEATED: Final = frozenset({429, 502, 503, 504})
"""Status codes after which programs repeat a request by themselves."""
_LONGEST_WAIT: Final = 86_400 * 2
_MOST_FIELDS: Final = 100


class InvalidField(Model, frozen=True, kw_only=True):
    """What is wrong with one field of a request."""

    field: str | None = None
    """Its name; `None` if it is the request as a whole."""
    reason: str
    """What is wrong with it."""
    hint: str = ""
    """How to fix it."""
    line: int | None = None
    """The row of a plan."""


class Problem(Model, frozen=True, kw_only=True):
    """The body of an error response: problem details as in RFC 9457."""

    type: str = "about:blank"
    """Always `about:blank`: `code` says what happened."""
    title: str
    """The name of the status code."""
    status: int
    """The status code of the response."""
    detail: str
    """One sentence for people."""
    code: str
    """One word for programs, such as `slot_unavailable`."""
    outcome: Outcome | None = None
    """Whether a write was applied; `None` for a request that was refused. After `unknown`, read the event before
    you repeat it."""
    trace_id: str | None = None
    """What HighLevel's support asks for."""
    errors: tuple[InvalidField, ...] = ()
    """The invalid fields of the request, at most 100."""


def build_problem(error: LeadConnectorError) -> Problem:
    """What to tell the sender of a request that failed with this `error`."""
    known = next(one for one in type(error).__mro__ if one in TABLE)
    status, detail = TABLE[known]
    if isinstance(error, PermissionDeniedError) and error.transient:
        status, detail = 503, _UNREACHABLE
    if status in _REPEATED and error.outcome != "not_applied":
        status = 500
    return Problem(
        title=name_status(status),
        status=status,
        detail=detail,
        code=name_code(known),
        outcome=error.outcome,
        trace_id=error.trace_id,
        errors=_list_fields(error),
    )


def build_invalid_problem(errors: Sequence[InvalidField]) -> Problem:
    """What to tell the sender of a request that was not valid before anything was called."""
    status, detail = TABLE[InvalidRequestError]
    return Problem(
        title=name_status(status),
        status=status,
        detail=detail,
        code=name_code(InvalidRequestError),
        outcome="not_applied",
        errors=tuple(errors[:_MOST_FIELDS]),
    )


def find_retry_after(error: LeadConnectorError, status: int) -> int | None:
    """Whole seconds until the request may be repeated; `None` if that is not known, or it must not be repeated."""
    seconds: object = getattr(error, "retry_after", None)
    if status not in _REPEATED or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return None
    return min(max(1, math.ceil(seconds)), _LONGEST_WAIT)


def is_failure(problem: Problem) -> bool:
    """Whether it is a failure of this service or of the server, rather than of the request."""
    return problem.status >= 500


def name_status(status: int) -> str:
    """Such as `Bad Gateway`."""
    return HTTPStatus(status).phrase


def name_code(kind: type[Exception]) -> str:
    """`slot_unavailable` for `SlotUnavailableError`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__.removesuffix("Error")).lower()


def _list_fields(error: LeadConnectorError) -> tuple[InvalidField, ...]:
    """Without values: they may be personal data, and the sender has them."""
    if isinstance(error, PlanError):
        faults = error.faults[:_MOST_FIELDS]
        return tuple(
            InvalidField(field=one.column or None, reason=one.reason, hint=one.hint, line=one.line)
            for one in faults
        )
    if isinstance(error, InvalidRequestError) and error.reason:
        return (InvalidField(field=error.field, reason=error.reason, hint=error.hint),)
    return ()
