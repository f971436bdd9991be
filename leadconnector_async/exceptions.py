"""The errors: all derive from `LeadConnectorError`.

    LeadConnectorError
    ├── ConfigurationError         an invalid setting
    │   └── JobConflictError         the job already exists, has ended, or is being cancelled
    ├── InvalidRequestError        rejected before anything was sent (also a ValueError)
    │   ├── PlanError                invalid rows in a plan
    │   └── KeyReusedError           a key of `once=` that was used for another request
    ├── ReadOnlyError              a write with access="read"; nothing was sent
    ├── NotApprovedError           a write that approve refused; nothing was sent
    ├── JournalError               the journal of a job could not be read or written
    │   └── JobNotFoundError         there is no job of this name
    ├── WorkersMissingError        no worker was seen for a job that was submitted
    ├── TransportError             no response: a network or connection failure
    ├── OutcomeUnknownError        a write may or may not have been applied
    ├── DecodeError                a response that cannot be read
    ├── ContactNotFoundError       no contact has this phone number or email address
    ├── VerificationError          the server reported success, but the event does not show the change
    ├── PreconditionFailedError    somebody else has changed the event since it was read
    ├── DeadlineExceededError      RetryPolicy.deadline has passed
    ├── WebhookError               a webhook that must not be processed
    │   ├── WebhookSignatureError    its signature is missing or invalid
    │   ├── StaleWebhookError        too old, from the future, or without a timestamp
    │   └── UnreadableWebhookError   signed, but its event cannot be read
    ├── TokenStoreError            stored tokens could not be read, locked or written
    ├── StoreUnavailableError      the store that processes share could not be reached
    └── ApiError                   an error response
        ├── BadRequestError              400
        │   ├── SlotUnavailableError     400 or 422 "The slot you have selected is no longer available."
        │   └── InvalidEventError        "The event id is invalid."
        ├── AuthenticationError          401
        │   ├── TokenExpiredError        "Invalid JWT", "jwt expired"
        │   └── ReconnectRequiredError   no token can be obtained: a user must connect the app again
        ├── PermissionDeniedError        403
        ├── NotFoundError                404
        ├── UnprocessableError           422
        ├── RateLimitedError             429
        │   └── DailyLimitError          429 because the daily budget is spent
        └── ServerError                  5xx

Every error says what happened, whether the write was applied (`outcome`) and what to do next. No error contains a
token. Errors of aiohttp, msgspec, tenacity and cryptography never reach the caller.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self, TypeAlias

from ._model import Model

Outcome: TypeAlias = Literal["not_applied", "unknown", "applied"]
"""Whether the write was applied: it cannot have been, it may have been, it was."""


class LeadConnectorError(Exception):
    """The base class of all errors of this package."""

    operation: str | None
    """The name of the operation, such as `update_appointment`; `None` outside a call."""
    status: int | None
    """HTTP status code of the last response; `None` if there was none."""
    trace_id: str | None
    """The server's `traceId`, which HighLevel's support asks for."""
    attempts: int
    """Requests sent for this call, including those whose connection failed."""
    outcome: Outcome
    """Whether the write was applied; always `not_applied` for reads."""
    _default_outcome: ClassVar[Outcome] = "not_applied"
    """The outcome of an error that a task queue rebuilds from its text: never more certain than the original."""

    def __init__(
        self,
        message: str,
        *,
        operation: str | None = None,
        status: int | None = None,
        trace_id: str | None = None,
        attempts: int = 0,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.status = status
        self.trace_id = trace_id
        self.attempts = attempts
        self.outcome = self._default_outcome if outcome is None else outcome

    def __str__(self) -> str:
        return " ".join([str(self.args[0]), *self._notes()])

    def _notes(self) -> list[str]:
        facts = [
            self.operation or "",
            f"trace {self.trace_id}" if self.trace_id else "",
            f"{self.attempts} attempt{'s' * (self.attempts != 1)}" if self.attempts else "",
        ]
        notes = [f"[{', '.join(fact for fact in facts if fact)}]"] if any(facts) else []
        if self.outcome == "unknown":
            notes.append("The write may have been applied: read the event before sending it again.")
        elif self.outcome == "applied":
            notes.append("The write was applied: do not send it again.")
        return notes


class ConfigurationError(LeadConnectorError):
    """An invalid setting: a malformed token, URL or number, or a client that is closed."""


class JobConflictError(ConfigurationError):
    """The job already exists, has ended, or is being cancelled."""


class InvalidRequestError(LeadConnectorError, ValueError):
    """The request was rejected before anything was sent."""

    field: str | None
    """The invalid field, in snake_case; `None` if it is the request as a whole."""
    value: object
    """The invalid value."""
    reason: str
    """What is wrong with it."""
    hint: str
    """How to fix it."""

    def __init__(
        self, message: str, *, field: str | None = None, value: object = None, reason: str = "", hint: str = ""
    ) -> None:
        super().__init__(message)
        self.field = field
        self.value = value
        self.reason = reason
        self.hint = hint

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...], dict[str, object]]:
        """Support pickling: a value that cannot be pickled is replaced with the name of its type."""
        import pickle  # noqa: PLC0415 - already imported by whoever pickles

        state = dict(vars(self))
        try:
            pickle.dumps(self.value)
        except Exception:
            state["value"] = f"<{type(self.value).__name__}>"
        return type(self), self.args, state


def explain(reason: str, hint: str) -> str:
    """What is wrong, and how to fix it if that is known."""
    return f"{reason}; {hint}" if hint else reason


class RowFault(Model, frozen=True):
    """Why a row of a plan cannot be carried out."""

    line: int
    """Line of the file; the header of a CSV file is line 1."""
    column: str
    """The field, in snake_case; empty if it is the row as a whole."""
    reason: str
    """What is wrong with its value."""
    hint: str
    """How to fix it."""

    def __str__(self) -> str:
        column = f", {self.column}" if self.column else ""
        return f"line {self.line}{column}: {explain(self.reason, self.hint)}"


class PlanError(InvalidRequestError):
    """A plan with invalid rows. Nothing was changed."""

    faults: tuple[RowFault, ...]
    """The invalid rows, or the first ones if there are very many."""
    count: int
    """The number of invalid rows."""

    def __init__(self, message: str, faults: tuple[RowFault, ...] = (), count: int = 0) -> None:
        super().__init__(message)
        self.faults = faults
        self.count = count


class KeyReusedError(InvalidRequestError):
    """The key given as `once=` was used for another request within the last day. Nothing was sent."""


class ReadOnlyError(LeadConnectorError):
    """A write with a client that may only read. Nothing was sent. `operation` names it."""


class NotApprovedError(LeadConnectorError):
    """A write that `approve` has refused, or whose `approve` has failed: see `__cause__`. It was not sent."""


class JournalError(LeadConnectorError):
    """The journal of a job could not be read or written. Nothing more is sent, and the job can be resumed."""


class JobNotFoundError(JournalError):
    """There is no job of this name."""


class WorkersMissingError(LeadConnectorError):
    """No worker was seen that could continue a submitted job. The job stays submitted."""


class TransportError(LeadConnectorError):
    """There was no response: the connection failed before the request was sent, or during a read."""

    _default_outcome = "unknown"


class OutcomeUnknownError(LeadConnectorError):
    """A write was sent and may or may not have been applied. Read the event before you send it again."""

    _default_outcome = "unknown"

    retry_after: float | None = None
    """How long the server asked to wait, in seconds."""
    sent: str | None = None
    """Method and path of the request that was sent."""
    sent_body: bytes | None = None
    """JSON body of the request that was sent."""
    candidates: tuple[str, ...] = ()
    """Ids of what a creation may have made: none of them can be told from what somebody else has made."""


class DecodeError(LeadConnectorError):
    """A response that cannot be read.

    After a 2xx of the API to a write, `outcome` is `applied`; after a web page in its place, `unknown`.
    """

    _default_outcome = "unknown"

    transient: bool = False
    """The response came from elsewhere, such as a sign-in page: the same request may succeed later."""


class PreconditionFailedError(LeadConnectorError):
    """Somebody else has changed the event since it was read, so the update was not sent, or not sent again.

    Also raised when every reading was too old by the time its update could be sent. Only safe changes read first:
    `reschedule_appointment`, `update_many` and jobs.
    """


class ContactNotFoundError(LeadConnectorError):
    """No contact of the location has the phone number or the email address, so there is nobody to find.

    Not raised for a contact without appointments. The error does not contain what was searched for.
    """


class VerificationError(LeadConnectorError):
    """The server reported success, but reading the event does not show the change."""

    _default_outcome = "unknown"


class DeadlineExceededError(LeadConnectorError):
    """`RetryPolicy.deadline` has passed, or the next wait would exceed it.

    `outcome` says whether a write was applied.
    """

    _default_outcome = "unknown"

    retry_after: float | None = None
    """How long the server asked to wait, in seconds; `None` if it did not."""


class WebhookError(LeadConnectorError):
    """A webhook that must not be processed. Contains neither the body nor the signature."""


class WebhookSignatureError(WebhookError):
    """The signature is missing, unreadable or invalid: anybody may have sent this webhook."""


class StaleWebhookError(WebhookError):
    """Signed, but too old, from the future, or without a timestamp: it may be a copy of an earlier webhook."""


class UnreadableWebhookError(WebhookError):
    """Signed, but the event cannot be read from the body."""


class TokenStoreError(LeadConnectorError):
    """The stored tokens could not be read, locked or written."""


class StoreUnavailableError(LeadConnectorError):
    """The store that processes share could not be reached, or did not respond in time.

    Raised by `Shared.migrate`, `Shared.check` and calls with `once=`; other calls go on without the store.
    """


class ApiError(LeadConnectorError):
    """An error response, or a redirect, which is never followed."""

    _default_outcome = "unknown"

    messages: list[str]
    """The server's messages, whatever the shape of the body: at most 20, each a line of at most 300 characters."""
    retry_after: float | None
    """How long the server asked to wait, in seconds."""
    transient: bool
    """Whether the same request may succeed later: the cause was the rate limit, the server or the network."""

    def __init__(
        self,
        message: str,
        *,
        messages: list[str] | None = None,
        retry_after: float | None = None,
        transient: bool = False,
        operation: str | None = None,
        status: int | None = None,
        trace_id: str | None = None,
        attempts: int = 0,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(
            message,
            operation=operation,
            status=status,
            trace_id=trace_id,
            attempts=attempts,
            outcome=outcome,
        )
        self.messages = messages if messages is not None else []
        self.retry_after = retry_after
        self.transient = transient


class BadRequestError(ApiError):
    """400: the server rejected the request."""


class SlotUnavailableError(BadRequestError):
    """400, 422: the slot is taken, off the grid, too soon or out of range; the server does not say which."""


class InvalidEventError(BadRequestError):
    """400: the event is deleted or unknown."""


class AuthenticationError(ApiError):
    """401: the token or the Version header was refused. The message says what to fix."""


class TokenExpiredError(AuthenticationError):
    """401 `Invalid JWT`, `jwt expired`, `Invalid token: access token is invalid`: the access token has expired."""


class ReconnectRequiredError(AuthenticationError):
    """There is no valid token, and none can be obtained: a user must connect the app again.

    Send the user through `authorize_url`. `status` is `None` if no token was ever stored.
    """


class PermissionDeniedError(ApiError):
    """403: the token is not for this location; or, if `transient`, the edge or a proxy blocked the request."""


class NotFoundError(ApiError):
    """404: no such route."""


class UnprocessableError(ApiError):
    """422: a value that the server does not accept."""


class RateLimitedError(ApiError):
    """429, and the deadline would pass during the pause. Without a deadline, calls wait out every pause."""


class DailyLimitError(RateLimitedError):
    """The daily budget is spent. `retry_after` is the time until its reset.

    If the server does not say when that is, it is the time until the next probe, at most an hour.
    """


class ServerError(ApiError):
    """5xx: the server or its edge failed. After a write, `outcome` is `unknown`."""
