"""What one call remembers from attempt to attempt, and what it comes to in the end.

Rule: whatever happened to the attempts, the caller learns whether the write was applied, was not applied, or
may have been.

Pure. Must not import the pipeline.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from ._errors import redact
from ._retry import Failure, is_ambiguous
from ._transport import Progress, Reply, Unanswered
from ._wire import Request
from .answer import Answer, keep_answer
from .exceptions import (
    DeadlineExceededError,
    DecodeError,
    LeadConnectorError,
    OutcomeUnknownError,
    TransportError,
)
from .policy import RetryPolicy

T = TypeVar("T")


class Call(Progress, Generic[T], kw_only=True):
    """One call on its way."""

    request: Request[T]
    deadline: float | None
    """The moment, by the loop's clock, by which it must be over."""
    attempts: int = 0
    token: str = ""
    under_way: bool = False
    """A request was sent and its end is not known yet."""
    doubt: bool = False
    """An earlier attempt may have been applied."""
    refreshed: bool = False
    """A new token was asked for."""

    @property
    def name(self) -> str:
        """The vendor's name of the operation."""
        return self.request.operation.name

    def hide(self, text: str) -> str:
        """Cut the token out of a text that the server may have had a hand in."""
        return redact(text, self.token)

    def begin(self, token: str) -> None:
        """An attempt begins."""
        self.attempts += 1
        self.token = token
        self.left = False
        self.under_way = True


def read_unanswered(call: Call[T], reply: Unanswered) -> Failure:
    """Say how far a request got that was not answered."""
    reason = call.hide(reply.reason)
    if reply.certificate:
        return Failure(TransportError(f"The server's certificate was refused: {reason}."), "certificate")
    if call.left:
        return Failure(TransportError(f"The request was sent and no answer came: {reason}."), "no_answer")
    return Failure(TransportError(f"The request was never sent: {reason}."), "never_sent")


def read_broken_success(call: Call[T], reply: Reply) -> Failure:
    """A 2xx without its whole body: a write was applied; a read can be repeated."""
    reason = f"The answer (HTTP {reply.status}) broke off: {call.hide(reply.fault)}."
    if call.request.operation.writes:
        return Failure(DecodeError(reason, status=reply.status, outcome="applied"), "final")
    return Failure(TransportError(reason, status=reply.status), "no_answer")


def fail_deadline(call: Call[T], seconds: float | None) -> Failure:
    """The deadline has passed, wherever the call was."""
    if not (call.under_way and call.left):
        return Failure(DeadlineExceededError(f"The deadline of {seconds} s has passed."), "final")
    error = DeadlineExceededError(f"The deadline of {seconds} s has passed while an answer was awaited.")
    if call.response is not None and 200 <= call.response.status < 300 and call.request.operation.writes:
        error.outcome = "applied"
        return Failure(error, "final")
    return Failure(error, "no_answer")


def conclude(call: Call[T], policy: RetryPolicy, outcome: Answer[T] | Failure) -> Answer[T]:
    """Hand over the answer, or raise the error that says most."""
    if isinstance(outcome, Answer):
        keep_answer(outcome)
        return outcome
    raise _build_error(call, policy, outcome)


def _build_error(call: Call[T], policy: RetryPolicy, failure: Failure) -> LeadConnectorError:
    operation = call.request.operation
    error = failure.error
    ambiguous = is_ambiguous(failure, operation)
    if ambiguous and not isinstance(error, DeadlineExceededError):
        given_up_at_once = policy.on_ambiguous == "raise" or not operation.repeatable
        if failure.phase == "no_answer" or given_up_at_once:
            error = _doubt(call, error)
    if operation.writes and error.outcome == "not_applied" and (ambiguous or call.doubt):
        error.outcome = "unknown"
    error.operation = call.name
    error.attempts = call.attempts
    return error


def _doubt(call: Call[T], cause: LeadConnectorError) -> OutcomeUnknownError:
    sent = f"{call.request.operation.method} {call.request.path}"
    error = OutcomeUnknownError(
        f"Nobody knows whether {sent} was applied. {cause.args[0]}",
        status=cause.status,
        trace_id=cause.trace_id,
        outcome="unknown",
    )
    error.sent, error.sent_body = sent, call.request.body
    error.__cause__ = cause
    return error
