"""What follows when an attempt of a call fails: decided here, carried out by `pipeline`.

Nothing here waits, sends or reads a clock. Every line of these tables is a case in `tests/call/test_steps.py`.

`choose_recovery`, after a refusal of the token. Each of the two remedies is tried once per call, reading back
included.

    refusal   a new token was requested   and received   retried   step
    -------   -------------------------   ------------   -------   -------
    final     any                         any            any       believe
    expired   no                                         any       refresh
    expired   yes                         no             no        retry
    expired   yes                         no             yes       believe
    expired   yes                         yes            any       believe
    stray     any                         any            no        retry
    stray     no                                         yes       refresh
    stray     yes                         any            yes       believe

`next_step`, after any other failure, or a refusal that is believed. Each action is carried out, and its result is
the next event. A response ends the call, also one that was read back and shows that the write was applied.

    event                                                      action
    --------------------------------------------------------   -----------------------------------------------
    Failed: an attempt                                         Wait, for as long as that failure requires
    Waited: a write must be read back first, or what was       ReadBack
      created with a response that cannot be read
    Waited, and one more attempt may follow                    Send (Charge first if the retry costs budget)
    Waited: no time or attempts remain, or it is final         Fail
    Unread: reading back failed, may succeed later, and one    Wait, for as long as the failure of the reading
      more attempt may follow                                    requires
    Unread: anything else                                      Fail, with the failure of the write
    NotApplied, and the event is not what the caller expects   Fail, with that
    NotApplied, and one more attempt may follow                Send (Charge first if the retry costs budget)
    NotApplied: no time or attempts remain                     Fail
    Charged: the retry budget has paid                         Send
    Charged: the retry budget is spent                         Fail, saying so
"""

from __future__ import annotations

from typing import Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct

from .._api.errors import TokenRefusal
from .._retry.decide import Failure, costs_budget, is_ambiguous, is_inconclusive, is_moved, is_transient, reconciles
from ..exceptions import TransportError
from ..policy import RetryPolicy
from .state import CallState, Recovery, explain_budget

T = TypeVar("T")


def choose_recovery(tried: Recovery, refusal: TokenRefusal) -> Literal["refresh", "retry", "believe"]:
    """What to do about a refusal of the token."""
    if refusal == "final":
        return "believe"
    if refusal == "expired" and not tried.requested:
        return "refresh"
    if not tried.retried and not (refusal == "expired" and tried.refreshed):
        return "retry"
    return "believe" if tried.requested else "refresh"


class Wait(Struct, frozen=True):
    """Back off, if time and attempts remain."""

    failure: Failure


class ReadBack(Struct, frozen=True):
    """Read what the write may have changed."""


class Charge(Struct, frozen=True):
    """Pay for a retry from the retry budget of the location."""


class Send(Struct, frozen=True):
    """Make another attempt."""


class Fail(Struct, frozen=True):
    """The call ends with this failure."""

    failure: Failure


class Failed(Struct, frozen=True):
    """An attempt failed."""

    failure: Failure


class Waited(Struct, frozen=True):
    """The back-off is over."""

    again: bool
    """Another attempt may follow."""


class Unread(Struct, frozen=True):
    """It is still unknown whether the write was applied."""

    failure: Failure


def fail_reading(call: CallState[T], reason: str) -> Unread:
    """What was read, or could not be read, does not show whether a write was applied."""
    call.unread = reason
    return Unread(Failure(TransportError(reason), "final"))


class NotApplied(Struct, frozen=True):
    """Reading back has shown that the write was not applied."""

    changed: Failure | None = None
    """A precondition of the write that does not hold any more."""


class Charged(Struct, frozen=True):
    """The retry budget was asked."""

    paid: bool


Action: TypeAlias = Wait | ReadBack | Charge | Send | Fail
Event: TypeAlias = Failed | Waited | Unread | NotApplied | Charged


class RetryState(Struct, Generic[T]):
    """A call after its first failed attempt."""

    call: CallState[T]
    policy: RetryPolicy
    failure: Failure
    """That of the last attempt."""
    again: bool = False
    """Another attempt may follow it."""


def next_step(state: RetryState[T], event: Event) -> Action:
    """Decide what follows an event. Changes nothing but the state."""
    if isinstance(event, Failed):
        state.failure = event.failure
        state.call.record(event.failure)
        return Wait(event.failure)
    if isinstance(event, Waited):
        state.again = event.again
        return ReadBack() if must_read_back(state.call, state.policy, state.failure) else _send_or_fail(state)
    if isinstance(event, Unread):
        return Wait(event.failure) if state.again and is_transient(event.failure) else Fail(state.failure)
    if isinstance(event, NotApplied):
        return _send_or_fail(state) if event.changed is None else Fail(event.changed)
    return Send() if event.paid else Fail(explain_budget(state.failure))


def _send_or_fail(state: RetryState[T]) -> Action:
    if not state.again:
        return Fail(state.failure)
    return Charge() if costs_budget(state.failure) else Send()


def must_read_back(call: CallState[T], policy: RetryPolicy, failure: Failure) -> bool:
    """Whether a write must be read back before this failure is retried, or believed.

    A refusal may be due to the call's own earlier attempt: its time slot is taken, by itself.
    """
    if not reconciles(call.request, policy) or is_moved(failure):
        return False
    if call.request.search is not None and failure.error.outcome == "applied":
        return True  # the id of what it has made is in a response that cannot be read
    return is_ambiguous(failure, call.request.operation) or (call.risked and not is_inconclusive(failure))
