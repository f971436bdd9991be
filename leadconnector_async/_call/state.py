"""What one call remembers from attempt to attempt, and the error or outcome that it ends with."""

from __future__ import annotations

from typing import Final, Generic, NoReturn, TypeVar

from msgspec import Struct

from .._api.body import describe_foreign, is_foreign_so_far
from .._api.errors import redact
from .._api.request import Request
from .._retry.decide import (
    Failure,
    is_ambiguous,
    is_disguised,
    is_page,
    may_still_run,
)
from ..events import CallFailed, OutcomeUnknown
from ..exceptions import (
    ApiError,
    DailyLimitError,
    DeadlineExceededError,
    DecodeError,
    LeadConnectorError,
    Outcome,
    OutcomeUnknownError,
    TransportError,
)
from ..policy import RetryPolicy
from .emit import Mark
from .reply import NoResponse, Progress, RawResponse

T = TypeVar("T")

BUDGET_SPENT: Final = "It was not retried: after many recent failures, the location's retry budget is spent."

LATE: Final = Failure(TransportError("The request was never sent: its lease expired first."), "never_sent")
"""Not an attempt: the call waits again for a slot, first in line."""


class CallState(Progress, Generic[T], kw_only=True):
    """One call in progress."""

    request: Request[T]
    name: str
    """The vendor's name of the operation."""
    deadline: float | None
    """The moment, by the loop's clock, by which it must be over."""
    attempts: int = 0
    call_id: str = ""
    """Of its events; empty until there is one."""
    token: str = ""
    spent: tuple[str, ...] = ()
    """The tokens of earlier attempts: a server may echo these too."""
    returned: bool = False
    """It has had a slot whose lease expired before it was sent."""
    under_way: bool = False
    """A request was sent and its result is not known yet."""
    doubt: bool = False
    """An attempt may have been applied."""
    risked: bool = False
    """An attempt was ambiguous, whatever reading back has shown since: it may have caused a later refusal."""
    lost: bool = False
    """An attempt may still be in progress at the server: whatever the event shows, it can be applied later."""
    sent_at: float = 0.0
    """When the last attempt began, by the loop's clock."""
    began: float | None = None
    """When the first attempt began that may have been applied."""
    candidates: tuple[str, ...] = ()
    """Ids of what a creation may have made."""
    retry_after: float | None = None
    """Seconds that the server last asked to wait."""
    unread: str = ""
    """Why reading the event back failed, or was inconclusive."""
    recovery: Recovery | None = None
    """What was tried after the token was refused; `None` if it was not."""

    def hide(self, text: str) -> str:
        """Redact the secrets in a text that the server may have contributed to."""
        return redact(text, *self.secrets)

    def hide_in(self, body: bytes) -> bytes:
        """Redact the secrets in a body before an excerpt is taken of it, which could end within one."""
        return redact(body.decode("latin-1"), *self.secrets).encode("latin-1")

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every token that was sent, and what else the request asks to hide."""
        return (self.token, *self.spent, *self.request.hidden)

    def take_token(self, token: str) -> None:
        """Use this token for the next attempt."""
        if self.token and token != self.token:
            self.spent = (*self.spent, self.token)
        self.token = token

    def record(self, failure: Failure) -> None:
        """Remember what a failed attempt leaves open."""
        ambiguous = is_ambiguous(failure, self.request.operation)
        if self.began is None and (ambiguous or failure.error.outcome == "applied"):
            self.began = self.sent_at
        self.doubt = self.doubt or ambiguous
        self.risked = self.risked or ambiguous
        self.lost = self.lost or (ambiguous and may_still_run(failure))
        self.retry_after = failure.retry_after or self.retry_after

    def resolve(self, *, applied: bool) -> None:
        """Remember what reading back has shown."""
        self.unread = ""
        self.doubt = self.lost and not applied


def read_no_response(call: CallState[T], reply: NoResponse) -> Failure:
    """How far a request got that has no response."""
    if reply.late:
        call.attempts -= 1
        call.returned = True
        return LATE
    reason = call.hide(reply.reason)
    if reply.certificate:
        return Failure(TransportError(f"The server's certificate was rejected: {reason}."), "certificate")
    if call.sent:
        return Failure(TransportError(f"The request was sent, but no response came: {reason}."), "no_response")
    return Failure(TransportError(f"The request was never sent: {reason}."), "never_sent")


def read_broken_success(call: CallState[T], reply: RawResponse) -> Failure:
    """A 2xx with an incomplete body: a write was applied if the API began to respond; a read can be retried."""
    reason = f"The response (HTTP {reply.status}) is incomplete: {call.hide(reply.fault)}."
    if not call.request.operation.writes:
        return Failure(TransportError(reason, status=reply.status), "no_response")
    if is_foreign_so_far(reply.body, reply.headers):
        text = call.hide(describe_foreign(reply.status, call.hide_in(reply.body), reply.headers))
        return _fail_foreign(f"{text} It is incomplete.", reply)
    return Failure(DecodeError(reason, status=reply.status, outcome="applied"), "final")


def read_foreign_success(call: CallState[T], reply: RawResponse) -> Failure:
    """A 2xx that is not the API's: the request may never have reached the API."""
    text = call.hide(describe_foreign(reply.status, call.hide_in(reply.body), reply.headers))
    return _fail_foreign(text, reply)


def _fail_foreign(text: str, reply: RawResponse) -> Failure:
    error = DecodeError(text, status=reply.status)
    error.transient = True
    return Failure(error, "foreign")


def read_unlike_success(call: CallState[T], error: DecodeError | ApiError) -> Failure:
    """A 2xx of the API's that cannot be decoded, or that carries an error in its JSON."""
    error.args = (call.hide(str(error.args[0])),)
    if isinstance(error, DecodeError):
        return Failure(error, "final")
    error.messages = [call.hide(message) for message in error.messages]
    error.trace_id = call.hide(error.trace_id) if error.trace_id else None
    error.outcome = "not_applied"  # for now: reading it back finds out
    return Failure(error, "foreign")


def fail_without_memory() -> Failure:
    """A write whose response could not be read: whatever it says, the write may have been applied."""
    text = "The request was sent, but no memory was left to read its response."
    return Failure(TransportError(text), "no_response")


def refuse_wait(reason: str, seconds: float) -> Failure:
    """The wait for a slot was refused before it began, or ended early."""
    if reason != "deadline":
        back = f"it resets in {seconds:.0f} s"
        unknown = f"the server did not say when it resets, so the next request is tried in {seconds:.0f} s"
        text = f"The daily budget of the location is spent; {back if reason == 'daily' else unknown}."
        return Failure(DailyLimitError(text, retry_after=seconds), "final", seconds)
    text = f"The deadline would pass before a slot is free in {seconds:.1f} s; this attempt was not sent."
    return Failure(DeadlineExceededError(text), "final")


def fail_token(seconds: float) -> Failure:
    """The token did not come in time: like a connection that could not be established."""
    text = f"The request was never sent: no token from the provider within {seconds:g} s; check what it waits for."
    return Failure(TransportError(text), "never_sent")


def fail_broken_token() -> Failure:
    """Something that the provider awaited was cancelled, and not the call."""
    text = "The request was never sent: something that the token provider awaited was cancelled."
    return Failure(TransportError(text), "never_sent")


def explain_budget(failure: Failure) -> Failure:
    """Say why there is no retry although one could follow."""
    failure.error.args = (f"{failure.error.args[0]} {BUDGET_SPENT}",)
    return failure


def fail_deadline(call: CallState[T], seconds: float | None) -> Failure:
    """The deadline has passed, wherever the call was."""
    if not (call.under_way and call.sent):
        return Failure(DeadlineExceededError(f"The deadline of {seconds} s has passed."), "final")
    error = DeadlineExceededError(f"The deadline of {seconds} s has passed while waiting for a response.")
    if not call.request.operation.writes:
        return Failure(error, "final")
    call.doubt = True
    response = call.response
    if response is not None and 200 <= response.status < 300 and not is_foreign_so_far(call.head, response.headers):
        error.outcome = "applied"
    return Failure(error, "final")


def describe_end(call: CallState[T], mark: Mark, error: BaseException) -> CallFailed:
    """The last event of a call that raises an error, or is cancelled."""
    outcome, status = find_outcome(call), None
    if isinstance(error, LeadConnectorError):
        outcome, status = error.outcome, error.status
    event = OutcomeUnknown if outcome == "unknown" else CallFailed
    return event(*mark, type(error).__name__, status, outcome)


def find_outcome(call: CallState[T]) -> Outcome:
    """What has become of a write that ends now, by something other than a response."""
    in_doubt = call.doubt or (call.under_way and call.sent)
    return "unknown" if in_doubt and call.request.operation.writes else "not_applied"


def conclude(call: CallState[T], policy: RetryPolicy, outcome: Failure) -> NoReturn:
    """Raise the most informative error."""
    error = _build_error(call, policy, outcome)
    try:
        raise error
    finally:
        del outcome, error  # or they and the traceback would hold each other


def _build_error(call: CallState[T], policy: RetryPolicy, failure: Failure) -> LeadConnectorError:
    error = failure.error
    if error.outcome != "applied":
        error = _doubt(call, error) if call.doubt and _is_doubt_the_point(call, policy, failure) else error
        error.outcome = "unknown" if call.doubt else "not_applied"
    error.operation = call.name
    if isinstance(error, DeadlineExceededError | OutcomeUnknownError):
        error.retry_after = call.retry_after
    error.attempts = call.attempts
    return error


def _is_doubt_the_point(call: CallState[T], policy: RetryPolicy, failure: Failure) -> bool:
    """Whether the doubt tells the caller more than the last failure."""
    if isinstance(failure.error, DeadlineExceededError) or is_disguised(failure):
        return False
    given_up_at_once = policy.on_ambiguous == "raise" or not call.request.operation.repeatable
    return failure.phase == "no_response" or is_page(failure) or given_up_at_once or bool(call.unread)


def _doubt(call: CallState[T], cause: LeadConnectorError) -> OutcomeUnknownError:
    sent = f"{call.request.operation.method} {call.request.path}"
    error = OutcomeUnknownError(
        " ".join(filter(None, [f"It is unknown whether {sent} was applied.", str(cause.args[0]), call.unread])),
        status=cause.status,
        trace_id=cause.trace_id,
        outcome="unknown",
    )
    error.sent, error.sent_body, error.candidates = sent, call.request.body, call.candidates
    error.__cause__ = cause
    return error


class Recovery(Struct):
    """What one call has tried after refusals of its token, reading back included."""

    requested: bool = False
    """A new token was asked for."""
    refreshed: bool = False
    """There was one."""
    retried: bool = False
    """The request was retried, as after a stray refusal."""
    failure: LeadConnectorError | None = None
    """Why there was no new token: it says more than the refusal does."""
