"""The errors, all under one root.

    LeadConnectorError
    ├── ConfigurationError         a setting cannot work
    ├── InvalidRequestError        refused here, before anything was sent (a ValueError too)
    │   └── PlanError                bad rows in a plan
    ├── JournalError               the journal of a job could not be read or written
    ├── TransportError             no answer: the network, or the connection
    ├── OutcomeUnknownError        a write may or may not have been applied
    ├── DecodeError                an answer that cannot be read
    ├── VerificationError          a success was answered, and the event shows otherwise
    ├── PreconditionFailedError    somebody else has changed the event since it was read
    ├── DeadlineExceededError      RetryPolicy.deadline has passed
    ├── WebhookError               a webhook that must not be acted on
    │   ├── WebhookSignatureError    its signature is missing or wrong
    │   ├── StaleWebhookError        too old, from the future, or without a time
    │   └── UnreadableWebhookError   signed, but no event can be read out of it
    ├── TokenStoreError            stored tokens could not be read, locked or written
    └── ApiError                   the server answered with an error
        ├── BadRequestError              400
        │   ├── SlotUnavailableError     400 or 422 "The slot you have selected is no longer available."
        │   └── InvalidEventError        "The event id is invalid."
        ├── AuthenticationError          401
        │   ├── TokenExpiredError        "Invalid JWT", "jwt expired"
        │   └── ReconnectRequiredError   no token can be had: a user must connect the app again
        ├── PermissionDeniedError        403
        ├── NotFoundError                404
        ├── UnprocessableError           422
        ├── RateLimitedError             429
        │   └── DailyLimitError          429 with nothing left of the daily budget
        └── ServerError                  5xx

Every error says what happened, what became of the write (`outcome`) and what to do next, and none ever
holds a token. Nothing of aiohttp, msgspec, tenacity or cryptography escapes the package.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self, TypeAlias

from msgspec import Struct

Outcome: TypeAlias = Literal["not_applied", "unknown", "applied"]
"""What an error knows about the write: it cannot have happened, it may have happened, it has happened."""


class LeadConnectorError(Exception):
    """The root. Every error of this package is one."""

    operation: str | None
    """The vendor's name of the operation, such as `update_appointment`; `None` outside a call."""
    status: int | None
    """HTTP status code of the last response; `None` if there was none."""
    trace_id: str | None
    """The server's `traceId`: support asks for it."""
    attempts: int
    """Requests sent for this call; a connection that could not be made counts."""
    outcome: Outcome
    """What became of the write. `not_applied` for everything that only reads."""
    _unless_told: ClassVar[Outcome] = "not_applied"
    """The outcome of an error that is rebuilt from its text alone, as task queues do: never more than is known."""

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
        self.outcome = self._unless_told if outcome is None else outcome

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
    """A setting cannot work: a bad token, address or number, or a client that is closed."""


class InvalidRequestError(LeadConnectorError, ValueError):
    """The request was refused here, before anything was sent."""

    field: str | None
    """The offending field, in snake_case; `None` if it is the request as a whole."""
    value: object
    """The offending value."""
    hint: str
    """How to fix it."""

    def __init__(self, message: str, *, field: str | None = None, value: object = None, hint: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.value = value
        self.hint = hint

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...], dict[str, object]]:
        """For `pickle`, as between processes: of a value that cannot go along, its type does."""
        import pickle  # noqa: PLC0415 - whoever comes here has it already

        state = dict(vars(self))
        try:
            pickle.dumps(self.value)
        except Exception:
            state["value"] = f"<{type(self.value).__name__}>"
        return type(self), self.args, state


class RowFault(Struct, frozen=True):
    """Why a row of a plan cannot be carried out."""

    line: int
    """Line of the file, the header of a CSV file being line 1."""
    column: str
    """The field, in snake_case; empty if it is the row as a whole."""
    reason: str
    hint: str
    """How to fix it."""

    def __str__(self) -> str:
        column = f", {self.column}" if self.column else ""
        return f"line {self.line}{column}: {self.reason}{'; ' if self.hint else ''}{self.hint}"


class PlanError(InvalidRequestError):
    """A plan with bad rows. Nothing was changed."""

    faults: tuple[RowFault, ...]
    """The bad rows; of very many, the first ones."""
    count: int
    """How many there are."""

    def __init__(self, message: str, faults: tuple[RowFault, ...] = (), count: int = 0) -> None:
        super().__init__(message)
        self.faults = faults
        self.count = count


class JournalError(LeadConnectorError):
    """The journal of a job could not be read or written: nothing more is sent, and the job can be resumed."""


class TransportError(LeadConnectorError):
    """No answer came: the connection failed before the request left, or while a read was under way."""

    _unless_told = "unknown"


class OutcomeUnknownError(LeadConnectorError):
    """A write was sent and nobody can say whether it was applied. Read the event before sending again."""

    _unless_told = "unknown"

    retry_after: float | None = None
    """How long the server asked to wait, in seconds."""
    sent: str | None = None
    """What was sent: method and path."""
    sent_body: bytes | None = None
    """What was sent: the JSON body."""


class DecodeError(LeadConnectorError):
    """An answer that cannot be read. After a 2xx of a write, `outcome` is `applied`; after a page, `unknown`."""

    _unless_told = "unknown"

    transient: bool = False
    """Somebody else has answered in place of the API, such as a sign-in page: the same request may pass later."""


class PreconditionFailedError(LeadConnectorError):
    """Somebody else has changed the event since it was read, so the update was not sent, or not sent again.

    Also raised when every reading was too old by the time its update could be sent. Only safe changes read first:
    `reschedule_appointment`, `update_many` and jobs.
    """


class VerificationError(LeadConnectorError):
    """The server answered a change with a success, and reading the event shows otherwise, or nothing of it."""

    _unless_told = "unknown"


class DeadlineExceededError(LeadConnectorError):
    """`RetryPolicy.deadline` has passed, or would pass. `outcome` says whether a write was under way."""

    _unless_told = "unknown"

    retry_after: float | None = None
    """How long the server asked to wait, in seconds; `None` if it did not."""


class WebhookError(LeadConnectorError):
    """A webhook that must not be acted on. Holds nothing that was delivered: no body, no signature."""


class WebhookSignatureError(WebhookError):
    """The signature is missing, unreadable or wrong: anybody may have sent this."""


class StaleWebhookError(WebhookError):
    """Signed, but too old, from the future, or without a time: it may be a copy of one that was sent before."""


class UnreadableWebhookError(WebhookError):
    """Signed, but no event can be read out of the body."""


class TokenStoreError(LeadConnectorError):
    """The stored tokens could not be read, locked or written."""


class ApiError(LeadConnectorError):
    """The server answered with an error, or with a redirect, which is never followed."""

    _unless_told = "unknown"

    messages: list[str]
    """The server's messages, whatever the shape of the body: at most 20, each a line of at most 300 characters."""
    retry_after: float | None
    """How long the server asked to wait, in seconds."""
    transient: bool
    """Whether the same request may succeed later unchanged: the cause was the rate, the server or the network."""

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
    """400: the server could not accept the request as it stands."""


class SlotUnavailableError(BadRequestError):
    """400, 422: taken, off the grid, too little notice or out of the date range; the server does not say which."""


class InvalidEventError(BadRequestError):
    """400: the event is deleted or unknown."""


class AuthenticationError(ApiError):
    """401: the token or the Version header was refused. The message says what to fix."""


class TokenExpiredError(AuthenticationError):
    """401 `Invalid JWT`, `jwt expired`, `Invalid token: access token is invalid`: the access token has expired."""


class ReconnectRequiredError(AuthenticationError):
    """There is no token, and none can be had: a user must connect the app again, through `authorize_url`.

    `status` is `None` where no token was ever stored.
    """


class PermissionDeniedError(ApiError):
    """403: the token is not for this location; or, if `transient`, the edge or a proxy stopped the request."""


class NotFoundError(ApiError):
    """404: no such route."""


class UnprocessableError(ApiError):
    """422: a value that the server does not take."""


class RateLimitedError(ApiError):
    """429, and the deadline would pass while the location pauses. Without a deadline, calls wait out every pause.

    `retry_after` is how long the server asked to wait, if it did.
    """


class DailyLimitError(RateLimitedError):
    """The daily budget is spent. `retry_after` is the time until its reset.

    If the server does not say when that is, it is the time until the next probe, at most an hour.
    """


class ServerError(ApiError):
    """5xx: the server or its edge failed. After a write, `outcome` is `unknown`."""
