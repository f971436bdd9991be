"""What to do after a failed attempt: every line of the table in `_retry/decide.py`, without an event loop."""

from typing import Any

import pytest

from leadconnector_async import (
    ApiError,
    AppointmentUpdate,
    DailyLimitError,
    DecodeError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    TransportError,
)
from leadconnector_async._api.appointments import build_get_appointment, build_update_appointment
from leadconnector_async._api.creations import build_create_note
from leadconnector_async._api.request import build_request
from leadconnector_async._retry.decide import Failure, Phase, Verdict, costs_budget, decide, is_ambiguous, is_moved

READ = build_get_appointment("e")
UPDATE = build_update_appointment("e", AppointmentUpdate(title="x"))
FOUND = build_create_note("e", "x", None)
CREATE = build_request("POST", "/calendars/events/appointments", object)
RAW = build_request("PUT", "/calendars/c", object, repeatable=True)
ODD_READ = build_request("GET", "/x", object, repeatable=False)
RETRY, RAISE, RECONCILE = (RetryPolicy(on_ambiguous=mode) for mode in ("retry", "raise", "reconcile"))
CASES: list[tuple[Any, RetryPolicy]] = [
    (READ, RAISE),
    (UPDATE, RETRY),
    (UPDATE, RECONCILE),
    (UPDATE, RAISE),
    (RAW, RECONCILE),
    (CREATE, RETRY),
    (ODD_READ, RETRY),
    (FOUND, RETRY),
    (FOUND, RECONCILE),
    (FOUND, RAISE),
]
"""A read; an update by policy; what cannot be read back; a creation that cannot be searched for; a read that must
not be repeated; a creation by policy."""

ALWAYS, NEVER, PAUSE = ["back_off"] * 10, ["fail"] * 10, ["pause"] * 10
AS_THE_POLICY_SAYS: list[str] = [
    *("back_off", "back_off", "back_off", "fail", "back_off", "fail", "fail"),
    *("back_off", "back_off", "fail"),
]


def failed(phase: Phase, status: int | None = None, **more: float) -> Failure:
    error = RateLimitedError if status == 429 else ServerError
    return Failure(error("x", status=status), phase, **more)


def transient(status: int) -> ApiError:
    error = ApiError("x", status=status)
    error.transient = True
    return error


FAILURES: dict[str, tuple[Failure, list[str]]] = {
    "never sent": (Failure(TransportError("x"), "never_sent"), ALWAYS),
    "certificate": (Failure(TransportError("x"), "certificate"), NEVER),
    "no response": (Failure(TransportError("x"), "no_response"), AS_THE_POLICY_SAYS),
    "a page": (Failure(DecodeError("x", status=200), "foreign"), AS_THE_POLICY_SAYS),
    "an error in a 2xx": (Failure(ApiError("x", status=200), "foreign"), NEVER),
    "a transient error in a 2xx": (Failure(transient(200), "foreign"), AS_THE_POLICY_SAYS),
    "final": (failed("final", 503), NEVER),
    "daily budget spent": (Failure(DailyLimitError("x", status=429), "status"), NEVER),
    "429": (failed("status", 429), PAUSE),
    "a page of the edge": (Failure(transient(403), "status"), ALWAYS),
    "408 during a pause": (failed("status", 408, pause_seconds=1.0), PAUSE),
    **{str(status): (failed("status", status), ALWAYS) for status in (408, 425)},
    **{str(status): (failed("status", status), AS_THE_POLICY_SAYS) for status in (500, 502, 503, 504, 520, 530)},
    **{
        str(status): (failed("status", status), NEVER)
        for status in (301, 307, 400, 401, 403, 404, 409, 410, 422, 501, 505, 531)
    },
}


@pytest.mark.parametrize("name", FAILURES)
def test_every_failure_has_its_verdict(name: str) -> None:
    """For a read, an update under each policy, a creation, and what must not be repeated."""
    failure, verdicts = FAILURES[name]
    found: list[Verdict] = [decide(request, policy, failure) for request, policy in CASES]
    assert found == verdicts


def test_without_reading_back_only_what_is_harmless_is_sent_again() -> None:
    """A path that the library does not know cannot be read back, unless the caller says that it is harmless."""
    lost = Failure(TransportError("x"), "no_response")
    unknown = build_request("PUT", "/calendars/c", object)
    assert [decide(one, RECONCILE, lost) for one in (unknown, RAW)] == ["fail", "back_off"]


def test_a_lost_response_is_ambiguous_for_writes_only() -> None:
    """A read that was lost has changed nothing."""
    lost = Failure(TransportError("x"), "no_response")
    assert [is_ambiguous(lost, one.operation) for one in (READ, UPDATE, CREATE)] == [False, True, True]


def test_a_429_costs_no_budget() -> None:
    """The pause of the location limits retries already."""
    assert [costs_budget(failed("status", status)) for status in (429, 503)] == [False, True]
    assert costs_budget(failed("never_sent"))


def test_a_redirect_that_keeps_the_request_is_a_move() -> None:
    """Nothing at the old address is worth reading back."""
    assert [is_moved(failed("status", status)) for status in (301, 307, 308, 503)] == [False, True, True, False]
