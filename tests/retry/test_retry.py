"""What is repeated, after how long, and when it stops."""

from datetime import UTC, datetime

import pytest

from leadconnector_async import AppointmentUpdate, RetryPolicy, ServerError
from leadconnector_async._api.appointments import build_get_appointment, build_update_appointment
from leadconnector_async._api.request import build_request
from leadconnector_async._retry.backoff import Backoff
from leadconnector_async._retry.decide import Failure, Phase, costs_budget, decide_repeat, is_ambiguous
from leadconnector_async._retry.retry_after import read_retry_after

GET = build_get_appointment("e")
UPDATE = build_update_appointment("e", AppointmentUpdate(title="x"))
CREATE = build_request("POST", "/calendars/events/appointments", object)
RAW = build_request("PUT", "/calendars/c", object)
HARMLESS = build_request("PUT", "/calendars/c", object, repeatable=True)
RETRY, RAISE, RECONCILE = (RetryPolicy(on_ambiguous=mode) for mode in ("retry", "raise", "reconcile"))


def failed(phase: Phase, status: int | None = None, **more: float) -> Failure:
    return Failure(ServerError("x", status=status), phase, **more)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 524, 530])
def test_passing_troubles_are_repeated(status: int) -> None:
    """The server, its edge or its limiter may be better in a moment."""
    assert decide_repeat(GET, RETRY, failed("status", status))
    assert decide_repeat(UPDATE, RETRY, failed("status", status))


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 410, 422, 501, 505, 531])
def test_other_refusals_are_final(status: int) -> None:
    """Asking again would get the same answer."""
    assert not decide_repeat(GET, RETRY, failed("status", status))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520])
def test_after_a_5xx_the_policy_decides_for_a_write(status: int) -> None:
    """It may have been applied; a read is repeated all the same, a creation never, nor what is not repeatable."""
    assert not decide_repeat(build_request("GET", "/x", object, repeatable=False), RETRY, failed("status", status))
    assert not decide_repeat(UPDATE, RAISE, failed("status", status))
    assert decide_repeat(GET, RAISE, failed("status", status))
    assert not decide_repeat(CREATE, RETRY, failed("status", status))


def test_a_lost_answer_leaves_doubt_only_over_writes() -> None:
    """A read is repeated, an update as the policy says, a creation never."""
    lost = failed("no_answer")
    assert [is_ambiguous(lost, one.operation) for one in (GET, UPDATE, CREATE)] == [False, True, True]
    assert [decide_repeat(one, RETRY, lost) for one in (GET, UPDATE, CREATE)] == [
        True,
        True,
        False,
    ]
    assert not decide_repeat(UPDATE, RAISE, lost)


def test_only_what_can_be_read_back_is_sent_again_by_default() -> None:
    """An update can; a path that the library does not know cannot, unless the caller says that it is harmless."""
    lost = failed("no_answer")
    sent_again = [decide_repeat(one, RECONCILE, lost) for one in (UPDATE, RAW, HARMLESS, CREATE)]
    assert sent_again == [True, False, True, False]


def test_a_refusal_for_the_rate_costs_no_budget() -> None:
    """The pause of the location bounds it already."""
    assert [costs_budget(failed("status", status)) for status in (429, 503)] == [False, True]
    assert costs_budget(failed("never_sent"))


def test_what_never_left_is_always_repeated_and_a_bad_certificate_never() -> None:
    """Also a creation, and also with `raise`."""
    assert decide_repeat(CREATE, RAISE, failed("never_sent"))
    assert not decide_repeat(GET, RETRY, failed("certificate"))
    assert not decide_repeat(GET, RETRY, failed("final"))


def run(policy: RetryPolicy, failures: list[Failure], deadline: float | None = None) -> list[float]:
    """Feed failures to the machine; returns the sleeps that it asks for until it stops."""
    back_off = Backoff(UPDATE, policy, deadline, lambda: 0.0)
    sleeps: list[float] = []
    for failure in failures:
        seconds = back_off.decide(failure)
        if seconds is None:
            break
        sleeps.append(seconds)
    return sleeps


def test_the_back_off_is_full_jitter_up_to_its_cap() -> None:
    """Drawn from 0 to base, then to double, never beyond the cap."""
    policy = RetryPolicy(max_attempts=9, backoff_base=1.0, backoff_cap=4.0)
    runs = [run(policy, [failed("status", 503)] * 9) for _ in range(200)]
    assert all(len(sleeps) == 8 for sleeps in runs)
    for number, bound in enumerate([1, 2, 4, 4, 4, 4, 4, 4]):
        drawn = [sleeps[number] for sleeps in runs]
        assert max(drawn) <= bound
        assert max(drawn) > bound * 0.8
        assert min(drawn) < bound * 0.2


def test_attempts_are_counted_from_the_first() -> None:
    """Five attempts are four repetitions; one attempt is none."""
    assert len(run(RetryPolicy(), [failed("status", 503)] * 9)) == 4
    assert run(RetryPolicy(max_attempts=1), [failed("status", 503)]) == []


def test_a_hint_beyond_the_back_off_is_obeyed() -> None:
    """The larger of both."""
    assert run(RetryPolicy(backoff_cap=1.0), [failed("status", 503, retry_after=70.0)]) == [70.0]


def test_a_pause_of_the_location_does_the_waiting() -> None:
    """No back-off on top of it."""
    assert run(RetryPolicy(), [failed("status", 429, pause_seconds=8.0)]) == [0.0]


def test_a_pause_of_the_location_is_no_attempt() -> None:
    """However often it is waited out, and whatever else fails in between."""
    paused = failed("status", 429, pause_seconds=8.0)
    assert run(RetryPolicy(max_attempts=1), [paused] * 50) == [0.0] * 50
    mixed = [failed("status", 503), *[paused] * 50, failed("status", 503), failed("status", 503)]
    assert len(run(RetryPolicy(max_attempts=3), mixed)) == 52


@pytest.mark.parametrize("more", [{"retry_after": 9.0}, {"pause_seconds": 9.0}])
def test_a_wait_that_would_pass_the_deadline_is_not_begun(more: dict[str, float]) -> None:
    """The failure is final at once."""
    assert run(RetryPolicy(), [failed("status", 503, **more)], deadline=9.0) == []
    assert len(run(RetryPolicy(), [failed("status", 503, **more)], deadline=9.1)) == 1


NOON = datetime(2026, 9, 14, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "1000"}, 1000.0),
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after": "9500"}, 9500.0),
        ({"retry-after": "999999999"}, 86_400.0),
        ({"retry-after-ms": " 3600000 "}, 3600.0),
        ({"retry-after-ms": "999999999"}, 86_400.0),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "1e308"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "+5"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "\u0663\u0663"}, None),
        ({"retry-after": "120 seconds"}, None),
        ({"retry-after": "2026-09-14T12:00:30Z"}, None),
        ({"retry-after": "Monday, 14-Sep-26 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon Sep 14 12:00:30 2026"}, 30.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Mon, 14 Sep 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 14 Sep 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Mon, 14 Sep 2026 12:00:30 GMT", "date": "Mon, 14 Sep 2026 12:00:10 GMT"}, 20.0),
        ({"retry-after": "Mon, 14 Sep 2099 12:00:30 GMT"}, 86_400.0),
        ({"retry-after": "Mon, 99 Sep 2026 12:00:30 GMT"}, None),
    ],
)
def test_a_hint_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds of any size, milliseconds, an HTTP date against the answer's own clock; nonsense is no hint."""
    assert read_retry_after(headers, NOON) == seconds
