"""How long a call backs off, and when it stops."""

import pytest

from leadconnector_async import AppointmentUpdate, RetryPolicy, ServerError
from leadconnector_async._api.appointments import build_update_appointment
from leadconnector_async._retry.backoff import Backoff
from leadconnector_async._retry.decide import Failure, Phase

UPDATE = build_update_appointment("e", AppointmentUpdate(title="x"))


def failed(phase: Phase, status: int | None = None, **more: float) -> Failure:
    return Failure(ServerError("x", status=status), phase, **more)


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
    """Five attempts are four retries; one attempt is none."""
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
