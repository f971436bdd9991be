"""What follows a failed attempt: which failures are retryable, ambiguous, or final."""

from __future__ import annotations

from typing import Literal, TypeAlias, TypeVar

from msgspec import Struct

from .._api.operations import Operation
from .._api.request import Request
from .._api.statuses import find_traits, is_error
from ..exceptions import ApiError, DailyLimitError, DecodeError, LeadConnectorError, RateLimitedError
from ..policy import RetryPolicy

T = TypeVar("T")

Phase: TypeAlias = Literal["never_sent", "certificate", "no_answer", "foreign", "status", "final"]
"""How far a request got that failed: it never left; the certificate was refused; it left and no whole answer
came; what came with a success status is no success of the API's: somebody else's page, or an error in JSON; the
server answered with an error; or nothing can follow whatever the policy says."""


class Failure(Struct, frozen=True):
    """An attempt that failed."""

    error: LeadConnectorError
    phase: Phase
    retry_after: float | None = None
    """How long the server asked to wait."""
    pause_seconds: float = 0.0
    """How long the location pauses anyway before the next attempt."""


def is_ambiguous(failure: Failure, operation: Operation) -> bool:
    """Tell whether a write may have been applied although this attempt failed."""
    return operation.writes and _may_have_run(failure)


def may_still_run(failure: Failure) -> bool:
    """Tell whether the server may still be at work on it: nobody waits there for what it was passed on to."""
    if failure.phase == "no_answer" or is_page(failure):
        return True
    return failure.phase in ("status", "foreign") and find_traits(failure.error.status).may_still_run


def costs_budget(failure: Failure) -> bool:
    """Tell whether a repetition after it costs budget: a refusal for the rate does not."""
    return find_traits(failure.error.status).costs_budget


def is_transient(failure: Failure) -> bool:
    """Tell whether it may be better in a moment."""
    error = failure.error
    if failure.phase in ("certificate", "final") or isinstance(error, DailyLimitError):
        return False
    if failure.phase in ("never_sent", "no_answer") or is_page(failure) or find_traits(error.status).is_transient:
        return True
    return isinstance(error, ApiError) and error.transient


def is_pause(failure: Failure) -> bool:
    """Tell whether it belongs to a pause of the location: waiting that out is no attempt."""
    refused_for_rate = failure.phase == "status" and isinstance(failure.error, RateLimitedError)
    return (refused_for_rate or failure.pause_seconds > 0) and is_transient(failure)


def is_page(failure: Failure) -> bool:
    """Tell whether somebody else than the API answered, with a success."""
    return failure.phase == "foreign" and isinstance(failure.error, DecodeError)


def is_refused_in_disguise(failure: Failure) -> bool:
    """Tell whether its error came as no error should: with a success, as a redirect or a switch of protocols."""
    if failure.phase == "status":
        return not is_error(failure.error.status)
    return failure.phase == "foreign" and not is_page(failure)


def is_sent_elsewhere(failure: Failure) -> bool:
    """Tell whether the server wants the same request at another address: nothing there is worth reading back."""
    return failure.phase == "status" and find_traits(failure.error.status).is_moved


def decide_repeat(request: Request[T], policy: RetryPolicy, failure: object) -> bool:
    """Decide whether this outcome of an attempt is worth another one.

    A write that may have been applied is sent again only as the policy says, and never if it creates something.
    """
    if not isinstance(failure, Failure) or not is_transient(failure):
        return False
    if _may_have_run(failure) and not request.operation.repeatable:
        return False
    if not is_ambiguous(failure, request.operation):
        return True
    if policy.on_ambiguous == "raise":
        return False
    return policy.on_ambiguous == "retry" or request.operation.harmless or request.build_proof is not None


def is_inconclusive(failure: Failure) -> bool:
    """Tell whether it leaves open what became of earlier attempts: it is about the token, the rate or the way."""
    return failure.phase != "status" or find_traits(failure.error.status).is_inconclusive


def _may_have_run(failure: Failure) -> bool:
    if failure.phase == "status":
        return find_traits(failure.error.status).is_ambiguous
    return failure.phase in ("no_answer", "foreign")
