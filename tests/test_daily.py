"""The daily budget, without a clock."""

from leadconnector_async._daily import Daily


def headers(remaining: int, reset_ms: int = 3_600_000) -> dict[str, str]:
    return {
        "x-ratelimit-limit-daily": "50",
        "x-ratelimit-daily-remaining": str(remaining),
        "x-ratelimit-daily-reset": str(reset_ms),
    }


def test_without_headers_the_day_begins_with_the_first_request() -> None:
    """And is over a day later."""
    daily = Daily(2)
    assert daily.measure_reset(0.0) is None
    daily.take(10.0)
    daily.take(20.0)
    assert daily.compute_wait(20.0, 0) == 86_390.0
    assert not daily.is_idle(20.0)
    assert daily.compute_wait(86_410.0, 0) is None
    assert daily.remaining == 2


def test_an_answer_replaces_our_count_less_what_was_sent_since() -> None:
    """Requests that left after it are not in its number; an older answer says nothing new."""
    daily = Daily(200_000)
    for _ in range(6):
        daily.take(0.0)
    daily.learn(4, 6, headers(30), 1.0)
    assert (daily.limit, daily.remaining, daily.measure_reset(1.0)) == (50, 28, 3600.0)
    daily.learn(2, 6, headers(40), 1.1)
    assert daily.remaining == 28
    assert daily.is_idle(1.1)


def test_a_reserve_is_kept_from_some() -> None:
    """Bulk work stops where interactive work goes on."""
    daily = Daily(10)
    for _ in range(7):
        daily.take(0.0)
    assert daily.compute_wait(0.0, 3) == 86_400.0
    assert daily.compute_wait(0.0, 0) is None


def test_what_never_left_is_not_counted() -> None:
    """It comes back at once."""
    daily = Daily(1)
    daily.take(0.0)
    daily.give_back(1)
    assert daily.compute_wait(0.0, 0) is None


def test_what_never_left_is_not_counted_as_sent_since_an_answer() -> None:
    """The answer comes later, and knows nothing of it."""
    daily = Daily(10)
    for _ in range(3):
        daily.take(0.0)
    daily.give_back(2)
    daily.learn(1, 3, headers(5), 1.0)
    assert daily.remaining == 4
    daily.learn(3, 3, headers(3), 2.0)
    daily.give_back(1)
    assert daily.remaining == 3


def test_a_reset_that_nobody_can_mean_is_bounded() -> None:
    """No day is longer than a day."""
    daily = Daily(10)
    daily.take(0.0)
    daily.learn(1, 1, headers(0, 999_999_999_999), 0.0)
    assert daily.compute_wait(0.0, 0) == 86_400.0
