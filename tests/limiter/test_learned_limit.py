"""What the limit of a location is, without a clock."""

import math

from leadconnector_async._limiter.learned_limit import LearnedLimit

T = 10.0


def state(limit: str, interval: str = "10000") -> dict[str, str]:
    return {"x-ratelimit-max": limit, "x-ratelimit-interval-milliseconds": interval}


def teach(most: int) -> LearnedLimit:
    """A limit of 100 in 10 s that a refusal has lowered at the moment 0."""
    limit = LearnedLimit(100, T)
    limit.lower(most, 0.0, T)
    return limit


def test_headers_state_it_and_the_newest_by_sending_counts() -> None:
    """An answer that was overtaken does not bring the old limit back."""
    limit = LearnedLimit(100, T)
    limit.learn(3, {})
    limit.learn(2, state("20"))
    limit.learn(1, state("100"))
    assert (limit.max_requests, limit.stated) == (20, True)


def test_headers_that_cannot_be_meant_state_nothing() -> None:
    """Zero, text, a window of a few milliseconds or of hours: refusals still teach."""
    for headers in (
        state("0"),
        state("-1"),
        state("many", "0"),
        state("0", "10"),
        state("0", "999999999999999"),
        {},
    ):
        limit = LearnedLimit(100, T)
        limit.learn(1, headers)
        assert (limit.max_requests, limit.interval, limit.stated) == (100, T, False)
        limit.lower(20, 0.0, T)
        assert limit.max_requests == 20


def test_a_stated_limit_is_not_lowered_by_refusals() -> None:
    """Somebody else has used it up."""
    limit = LearnedLimit(100, T)
    limit.learn(1, state("50"))
    limit.lower(20, 0.0, T)
    limit.lower_by_one()
    assert limit.max_requests == 50


def test_a_refusal_of_a_lone_request_teaches_nothing() -> None:
    """Whoever came before has used the window up; a few let through are little proof."""
    assert teach(0).max_requests == 100
    assert teach(2).max_requests == 50


def test_what_was_taught_grows_again_while_it_is_used_up() -> None:
    """A tenth for each interval, so a mistake is mended within minutes, and never above what was configured."""
    limit = teach(20)
    assert not limit.grow(2 * T - 0.1)
    moments = 0
    while limit.max_requests < 100:
        assert limit.grow(2 * T + moments * T)
        assert not limit.grow(2 * T + moments * T)
        moments += 1
    assert moments < 20
    assert not limit.grow(1000.0)


def test_growth_that_is_refused_is_tried_ever_more_seldom() -> None:
    """After one interval, two, four: what is right costs next to nothing."""
    limit, now, waits = teach(20), 0.0, []
    for _ in range(5):
        began = now
        while not limit.grow(now):
            now += T / 10
        waits.append(round((now - began) / T))
        limit.lower(20, now, T)
    assert waits == [2, 3, 5, 9, 17]


def test_it_is_forgotten_after_an_hour() -> None:
    """The configured limit is tried again."""
    limit = teach(20)
    assert (limit.max_requests, limit.forget_at) == (20, 3600.0)
    limit.forget()
    assert (limit.max_requests, limit.forget_at) == (100, math.inf)
