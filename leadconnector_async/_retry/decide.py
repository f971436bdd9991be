"""What to do after a failed attempt: which failures are retryable, ambiguous or final.

`decide`, by how far the request got, for operations that may be sent twice:

    phase         meaning                                          a read      a write
    -----------   ----------------------------------------------   ---------   -----------------------------------
    never_sent    it was never sent                                back_off    back_off, even if it creates
    certificate   the server's certificate was refused             fail        fail
    no_response   it was sent, and no whole response came          back_off    back_off, as the policy says
    foreign       a 2xx with somebody else's page                  back_off    back_off, as the policy says
                  a 2xx with the API's error in its JSON           fail, or by the error as for `status`
    status        429, and the location pauses                     pause       pause, even if it creates
                  transient, not ambiguous (408, 425)              back_off    back_off, even if it creates
                  transient and ambiguous (500, 502, 503, 504...)  back_off    back_off, as the policy says
                  anything else                                    fail        fail
    final         nothing can follow, whatever the policy says     fail        fail

"As the policy says": with `on_ambiguous="raise"`, never; with `"retry"`, always; with `"reconcile"`, if it can be
read back, or if the caller says that sending it twice is harmless. A creation is searched for first, also with
`"retry"`; one that cannot be is sent again only where the table says "even if it creates". Whatever fails while the
location pauses waits for the end of the pause instead of backing off, which is not an attempt.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, TypeVar

from msgspec import Struct

from .._api.operations import Operation
from .._api.request import Request
from .._api.statuses import find_traits, is_error
from ..exceptions import ApiError, DailyLimitError, DecodeError, LeadConnectorError, RateLimitedError
from ..policy import RetryPolicy

T = TypeVar("T")

Phase: TypeAlias = Literal["never_sent", "certificate", "no_response", "foreign", "status", "final"]
"""How far a request got that failed: see this module."""
Verdict: TypeAlias = Literal["fail", "back_off", "pause"]
"""Nothing follows; another attempt after a back-off; another one after the pause of the location."""


class Failure(Struct, frozen=True):
    """An attempt that failed."""

    error: LeadConnectorError
    phase: Phase
    retry_after: float | None = None
    """Seconds that the server asked to wait."""
    pause_seconds: float = 0.0
    """Seconds for which the location pauses anyway before the next attempt."""


def decide(request: Request[T], policy: RetryPolicy, failure: Failure) -> Verdict:
    """What follows this failure, leaving out bounds of attempts and time."""
    if not is_transient(failure) or not _may_send_again(request, policy, failure):
        return "fail"
    refused_for_rate = failure.phase == "status" and isinstance(failure.error, RateLimitedError)
    return "pause" if refused_for_rate or failure.pause_seconds > 0 else "back_off"


def is_transient(failure: Failure) -> bool:
    """Whether the same request may succeed later."""
    error = failure.error
    if failure.phase in ("certificate", "final") or isinstance(error, DailyLimitError):
        return False
    if failure.phase in ("never_sent", "no_response") or is_page(failure) or find_traits(error.status).is_transient:
        return True
    return isinstance(error, ApiError) and error.transient


def _may_send_again(request: Request[T], policy: RetryPolicy, failure: Failure) -> bool:
    """Whether the request may be applied twice, if this attempt has applied it."""
    operation = request.operation
    if not _may_have_run(failure) or reconciles(request, policy):
        return True
    if not operation.repeatable:
        return False
    if not operation.writes or policy.on_ambiguous == "retry":
        return True
    return policy.on_ambiguous == "reconcile" and operation.harmless


def reconciles(request: Request[T], policy: RetryPolicy) -> bool:
    """Whether a write is read back before it may be sent again.

    A creation always is, because a second one leaves two; unless the policy says that the call must end.
    """
    if request.search is not None:
        return policy.on_ambiguous != "raise"
    return policy.on_ambiguous == "reconcile" and request.build_proof is not None


def is_ambiguous(failure: Failure, operation: Operation) -> bool:
    """Whether a write may have been applied although this attempt failed."""
    return operation.writes and _may_have_run(failure)


def may_still_run(failure: Failure) -> bool:
    """Whether the server may still be working on the request: nobody waits there for what a gateway passed on."""
    if failure.phase == "no_response" or is_page(failure):
        return True
    return failure.phase in ("status", "foreign") and find_traits(failure.error.status).may_still_run


def costs_budget(failure: Failure) -> bool:
    """Whether a retry after it is charged to the retry budget."""
    return find_traits(failure.error.status).costs_budget


def is_page(failure: Failure) -> bool:
    """Whether somebody other than the API responded, with a success."""
    return failure.phase == "foreign" and isinstance(failure.error, DecodeError)


def is_disguised(failure: Failure) -> bool:
    """Whether an error came with a status code that is not one: a success, a redirect or a switch of protocols."""
    if failure.phase == "status":
        return not is_error(failure.error.status)
    return failure.phase == "foreign" and not is_page(failure)


def is_moved(failure: Failure) -> bool:
    """Whether the server wants the same request at another address: nothing here is worth reading back."""
    return failure.phase == "status" and find_traits(failure.error.status).is_moved


def is_inconclusive(failure: Failure) -> bool:
    """Whether it tells nothing about earlier attempts: it is about the token, the rate or the connection."""
    return failure.phase != "status" or find_traits(failure.error.status).is_inconclusive


def _may_have_run(failure: Failure) -> bool:
    if failure.phase == "status":
        return find_traits(failure.error.status).is_ambiguous
    return failure.phase in ("no_response", "foreign")
