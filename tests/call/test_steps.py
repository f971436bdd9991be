"""What follows a failed attempt: every line of the tables in `_call/steps.py`, without an event loop."""

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    BadRequestError,
    DecodeError,
    PreconditionFailedError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    TransportError,
)
from leadconnector_async._api.appointments import build_get_appointment, build_update_appointment
from leadconnector_async._api.creations import build_create_note
from leadconnector_async._api.errors import TokenRefusal
from leadconnector_async._api.request import Request, build_request
from leadconnector_async._call.state import BUDGET_SPENT, CallState, Recovery
from leadconnector_async._call.steps import (
    Action,
    Charge,
    Charged,
    Event,
    Fail,
    Failed,
    NotApplied,
    ReadBack,
    RetryState,
    Send,
    Unread,
    Wait,
    Waited,
    choose_recovery,
    must_read_back,
    next_step,
)
from leadconnector_async._retry.decide import Failure


@pytest.mark.parametrize(
    ("refusal", "requested", "refreshed", "retried", "step"),
    [
        ("final", False, False, False, "believe"),
        ("expired", False, False, False, "refresh"),
        ("expired", True, False, False, "retry"),
        ("expired", True, False, True, "believe"),
        ("expired", True, True, False, "believe"),
        ("expired", False, False, True, "refresh"),
        ("stray", False, False, False, "retry"),
        ("stray", True, True, False, "retry"),
        ("stray", False, False, True, "refresh"),
        ("stray", True, False, True, "believe"),
        ("stray", True, True, True, "believe"),
    ],
)
def test_each_step_follows_from_the_ones_before(
    refusal: TokenRefusal, requested: bool, refreshed: bool, retried: bool, step: str
) -> None:
    """The whole table: nothing is tried twice, so a refusal is believed at the fourth at the latest."""
    assert choose_recovery(Recovery(requested=requested, refreshed=refreshed, retried=retried), refusal) == step


READ = build_get_appointment("e")
UPDATE = build_update_appointment("e", AppointmentUpdate(title="x"))
CREATE = build_create_note("e", "x", None)
UNREADABLE = build_request("PUT", "/calendars/c", object)
BROKEN = Failure(ServerError("x", status=503), "status")
LOST = Failure(TransportError("x"), "no_response")
NEVER_SENT = Failure(TransportError("x"), "never_sent")
RATE = Failure(RateLimitedError("x", status=429), "status")
TAKEN = Failure(BadRequestError("slot no longer available", status=400), "status")
MOVED = Failure(ServerError("x", status=307), "status")
UNREAD = Failure(TransportError("reading failed"), "no_response")
UNREADABLE_NOW = Failure(TransportError("it does not show"), "final")
APPLIED = Failure(DecodeError("cut off", outcome="applied"), "final")
CHANGED = Failure(PreconditionFailedError("changed"), "final")


def make_state(
    failure: Failure,
    *,
    again: bool = False,
    request: Request[object] = UPDATE,  # type: ignore[assignment]
    policy: RetryPolicy | None = None,
    risked: bool = False,
) -> RetryState[object]:
    call = CallState(request=request, name=request.operation.name, deadline=None, risked=risked)
    return RetryState(call, policy or RetryPolicy(), failure, again)


CASES: dict[str, tuple[RetryState[object], Event, Action]] = {
    "failed": (make_state(BROKEN), Failed(LOST), Wait(LOST)),
    "waited, a lost write": (make_state(LOST), Waited(True), ReadBack()),
    "waited, a lost write, nothing may follow": (make_state(LOST), Waited(False), ReadBack()),
    "waited, a write refused after a lost one": (make_state(TAKEN, risked=True), Waited(False), ReadBack()),
    "waited, a creation applied with a response that cannot be read": (
        make_state(APPLIED, request=CREATE),  # type: ignore[arg-type]
        Waited(False),
        ReadBack(),
    ),
    "not found, though it was applied": (
        make_state(APPLIED, request=CREATE),  # type: ignore[arg-type]
        NotApplied(),
        Fail(APPLIED),
    ),
    "waited, a 429 after a lost one": (make_state(RATE, risked=True), Waited(True), Send()),
    "waited, a read": (make_state(LOST, request=READ), Waited(True), Charge()),  # type: ignore[arg-type]
    "waited, a write never sent": (make_state(NEVER_SENT), Waited(True), Charge()),
    "waited, after a 429": (make_state(RATE), Waited(True), Send()),
    "waited, nothing may follow": (make_state(TAKEN), Waited(False), Fail(TAKEN)),
    "unread, may be read later": (make_state(LOST, again=True), Unread(UNREAD), Wait(UNREAD)),
    "unread, nothing may follow": (make_state(LOST), Unread(UNREAD), Fail(LOST)),
    "unread, for good": (make_state(LOST, again=True), Unread(UNREADABLE_NOW), Fail(LOST)),
    "not applied": (make_state(LOST, again=True), NotApplied(), Charge()),
    "not applied, nothing may follow": (make_state(LOST), NotApplied(), Fail(LOST)),
    "not applied, and changed": (make_state(LOST, again=True), NotApplied(CHANGED), Fail(CHANGED)),
    "charged": (make_state(BROKEN, again=True), Charged(True), Send()),
}


@pytest.mark.parametrize("name", CASES)
def test_every_event_has_its_action(name: str) -> None:
    """As in the table."""
    state, event, action = CASES[name]
    assert next_step(state, event) == action


def test_a_spent_retry_budget_ends_the_call_and_says_so() -> None:
    """The error is the one of the last attempt."""
    failure = Failure(ServerError("x", status=503), "status")
    action = next_step(make_state(failure, again=True), Charged(False))
    assert action == Fail(failure)
    assert BUDGET_SPENT in str(failure.error)


def test_a_failure_is_remembered_when_it_is_decided_upon() -> None:
    """What later errors say about the outcome depends on it."""
    state = make_state(BROKEN)
    next_step(state, Failed(LOST))
    assert (state.failure, state.call.doubt, state.call.risked, state.call.lost) == (LOST, True, True, True)
    next_step(state, Failed(TAKEN))
    assert (state.failure, state.call.risked) == (TAKEN, True)


@pytest.mark.parametrize(
    ("request_", "mode", "failure", "risked", "must"),
    [
        (UPDATE, "reconcile", LOST, False, True),
        (UPDATE, "reconcile", BROKEN, False, True),
        (UPDATE, "reconcile", NEVER_SENT, True, False),
        (UPDATE, "reconcile", TAKEN, False, False),
        (UPDATE, "reconcile", TAKEN, True, True),
        (UPDATE, "reconcile", RATE, True, False),
        (UPDATE, "reconcile", MOVED, True, False),
        (UPDATE, "retry", LOST, False, False),
        (UPDATE, "raise", LOST, False, False),
        (READ, "reconcile", LOST, False, False),
        (UNREADABLE, "reconcile", LOST, False, False),
        (UPDATE, "reconcile", APPLIED, False, False),
        (CREATE, "reconcile", LOST, False, True),
        (CREATE, "reconcile", APPLIED, False, True),
        (CREATE, "reconcile", TAKEN, True, True),
        (CREATE, "reconcile", NEVER_SENT, False, False),
        (CREATE, "retry", LOST, False, True),
        (CREATE, "raise", LOST, False, False),
        (CREATE, "raise", APPLIED, False, False),
    ],
)
def test_a_write_is_read_back_when_its_outcome_is_unknown(
    request_: Request[object], mode: str, failure: Failure, risked: bool, must: bool
) -> None:
    """By the policy, if it can be read; a refusal too, if an earlier attempt may have caused it."""
    call = CallState(request=request_, name=request_.operation.name, deadline=None, risked=risked)
    assert must_read_back(call, RetryPolicy(on_ambiguous=mode), failure) == must  # type: ignore[arg-type]
