"""The daily budget, without a clock."""

import pytest

from leadconnector_async._limiter.daily import DailyBudget, measure_sleep


def headers(remaining: int, reset_ms: int = 3_600_000) -> dict[str, str]:
    return {
        "x-ratelimit-limit-daily": "50",
        "x-ratelimit-daily-remaining": str(remaining),
        "x-ratelimit-daily-reset": str(reset_ms),
    }


def test_without_headers_the_day_begins_with_the_first_request() -> None:
    """And is over a day later."""
    daily = DailyBudget(2)
    assert daily.measure_reset(0.0) is None
    daily.take(10.0)
    daily.take(20.0)
    assert daily.compute_wait(20.0) == 86_390.0
    assert not daily.is_idle(20.0)
    assert daily.compute_wait(86_410.0) is None
    assert daily.remaining == 2


def test_an_answer_replaces_our_count_less_what_was_sent_since() -> None:
    """Requests that left after it are not in its number; an older answer says nothing new."""
    daily = DailyBudget(200_000)
    for _ in range(6):
        daily.take(0.0)
    daily.learn(4, 6, headers(30), 1.0)
    assert (daily.limit, daily.remaining, daily.measure_reset(1.0)) == (50, 28, 3600.0)
    daily.learn(2, 6, headers(40), 1.1)
    assert daily.remaining == 28
    assert daily.is_idle(1.1)


def test_a_reserve_is_kept_from_some() -> None:
    """Bulk work stops where interactive work goes on."""
    daily = DailyBudget(10, reserve=3)
    for _ in range(7):
        daily.take(0.0)
    assert daily.compute_wait(0.0, bulk=True) == 86_400.0
    assert daily.compute_wait(0.0) is None


def test_what_never_left_is_not_counted() -> None:
    """It comes back at once."""
    daily = DailyBudget(1)
    daily.take(0.0)
    daily.give_back(1)
    assert daily.compute_wait(0.0) is None


def test_what_never_left_is_not_counted_as_sent_since_an_answer() -> None:
    """The answer comes later, and knows nothing of it."""
    daily = DailyBudget(10)
    for _ in range(3):
        daily.take(0.0)
    daily.give_back(2)
    daily.learn(1, 3, headers(5), 1.0)
    assert daily.remaining == 4
    daily.learn(3, 3, headers(3), 2.0)
    daily.give_back(1)
    assert daily.remaining == 3


@pytest.mark.parametrize("reset", [None, "0", "-5", "soon", "1e9", "90000001", "999999999999", "9" * 400, "\u0663"])
def test_a_budget_that_is_spent_nobody_knows_until_when_is_looked_at_again(reset: str | None) -> None:
    """After a minute, then after two, four and so on, up to an hour; by one request each time."""
    daily = DailyBudget(200_000)
    daily.take(0.0)
    spent = {"x-ratelimit-daily-remaining": "0"} | ({} if reset is None else {"x-ratelimit-daily-reset": reset})
    daily.learn(1, 1, spent, 0.0)
    now, waits = 0.0, []
    for number in range(2, 12):
        seconds = daily.compute_wait(now)
        assert seconds is not None
        assert daily.measure_reset(now) == seconds
        waits.append(seconds)
        now += seconds
        assert daily.compute_wait(now) is None
        daily.take(now)
        assert daily.compute_wait(now) is not None
        daily.learn(number, number, spent, now)
    assert waits == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, 3600.0, 3600.0]


def test_a_probe_that_shows_a_budget_opens_the_location_again() -> None:
    """By its header, or by passing without one; and the next time it begins with a minute."""
    for answer in ({"x-ratelimit-daily-remaining": "500"}, {}):
        daily = DailyBudget(1000)
        daily.take(0.0)
        daily.learn(1, 1, {"x-ratelimit-daily-remaining": "0"}, 0.0)
        assert daily.compute_wait(60.0) is None
        daily.take(60.0)
        daily.learn(2, 2, answer, 60.0)
        assert daily.remaining in (500, 1000)
        assert daily.compute_wait(60.0) is None
        daily.take(61.0)
        daily.learn(3, 3, {"x-ratelimit-daily-remaining": "0"}, 61.0)
        assert daily.compute_wait(61.0) in (59.0, 60.0)


def test_a_refused_probe_without_a_header_opens_nothing() -> None:
    """It says nothing of the day."""
    daily = DailyBudget(1000)
    daily.take(0.0)
    daily.learn(1, 1, {"x-ratelimit-daily-remaining": "0"}, 0.0)
    assert daily.compute_wait(60.0) is None
    daily.take(60.0)
    daily.learn(2, 2, {}, 60.0, success=False)
    assert daily.compute_wait(60.0) == 120.0


def test_a_few_that_are_left_by_one_header_lock_nothing_when_they_are_used_up() -> None:
    """Our own count of what one answer said is as old as that answer."""
    daily = DailyBudget(1000)
    daily.take(0.0)
    daily.learn(1, 1, {"x-ratelimit-daily-remaining": "2", "x-ratelimit-limit-daily": "1"}, 0.0)
    daily.take(10.0)
    daily.take(10.0)
    assert daily.compute_wait(10.0) == 50.0


def test_what_is_left_below_a_reserve_is_looked_at_again_too() -> None:
    """By bulk work, which may not use it up."""
    daily = DailyBudget(1000, reserve=50)
    daily.take(0.0)
    daily.learn(1, 1, {"x-ratelimit-daily-remaining": "30"}, 0.0)
    assert daily.compute_wait(0.0, bulk=True) == 60.0
    assert daily.compute_wait(0.0) is None
    assert daily.compute_wait(60.0, bulk=True) is None


def test_a_reset_of_a_day_is_believed_and_bounded() -> None:
    """Also of one on which the clocks are set back; no wait is longer than a day."""
    for milliseconds, seconds in ((1, 0.001), (86_400_000, 86_400.0), (90_000_000, 86_400.0)):
        daily = DailyBudget(10)
        daily.take(0.0)
        daily.learn(1, 1, headers(0, milliseconds), 0.0)
        assert daily.compute_wait(0.0) == seconds


class Machine:
    """One that can sleep: the clock of the loop stops meanwhile, and the day of the server goes on."""

    def __init__(self) -> None:
        self.slept = 100.0

    def measure(self) -> float:
        return self.slept


def test_a_night_in_which_the_machine_slept_counts() -> None:
    """The budget is back when the server's day is over."""
    machine = Machine()
    daily = DailyBudget(1, measure_sleep=machine.measure)
    daily.take(0.0)
    machine.slept += 36_000
    assert daily.compute_wait(10.0) == pytest.approx(86_400 - 36_000 - 10)
    assert daily.measure_reset(10.0) == pytest.approx(86_400 - 36_000 - 10)
    machine.slept += 50_400
    assert daily.compute_wait(10.0) is None


def test_a_sleep_before_a_moment_was_known_is_not_taken_off_it() -> None:
    """A response says how long the day still is when the machine has woken."""
    machine = Machine()
    daily = DailyBudget(200_000, measure_sleep=machine.measure)
    daily.take(0.0)
    machine.slept += 36_000
    daily.learn(1, 1, headers(0, 7_200_000), 5.0)
    assert daily.compute_wait(5.0) == pytest.approx(7200)
    machine.slept += 0.5
    assert daily.compute_wait(5.0) == pytest.approx(7200)
    machine.slept += 7200
    assert daily.compute_wait(5.0) is None


def test_a_probe_is_due_after_a_sleep() -> None:
    """It is not known when the budget is back."""
    machine = Machine()
    daily = DailyBudget(200_000, measure_sleep=machine.measure)
    daily.take(0.0)
    daily.learn(1, 1, {"x-ratelimit-daily-remaining": "0"}, 1.0)
    assert daily.compute_wait(1.0) == 60
    machine.slept += 60
    assert daily.compute_wait(1.0) is None


def test_while_the_machine_is_awake_its_sleep_stays_the_same() -> None:
    """Whatever clocks it has."""
    assert measure_sleep() == pytest.approx(measure_sleep(), abs=1.0)
