"""The windows of the simulation, and the sandbox's own, count as their names say."""

import pytest

from leadconnector_async.sandbox.rate_limits import Limits, RateLimiter

from ..simulation.windows import WINDOWS, Algorithm

MOST, INTERVAL = 3, 10.0

# Moments of requests, and which of them are allowed.
STORIES: dict[Algorithm, list[tuple[float, bool]]] = {
    "fixed": [(8, True), (9, True), (9.5, True), (9.9, False), (10, True), (11, True), (12, True), (19.9, False)],
    "opened": [(8, True), (9, True), (9.5, True), (10, False), (17.9, False), (18, True), (19, True), (28, True)],
    "sliding": [
        (8, True),
        (9, True),
        (9.5, True),
        (10, False),
        (17.9, False),
        (18, True),
        (18.5, False),
        (19, True),
    ],
    "counting": [(8, True), (9, True), (9.5, True), (10, False), (18, False), (19, False), (28.1, True)],
    "bucket": [(8, True), (8, True), (8, True), (8.1, False), (11.4, True), (11.5, False), (14.7, True)],
    "counter": [(0, True), (0, True), (9, True), (10, False), (13.4, True), (13.5, False), (20, True)],
}


@pytest.mark.parametrize("algorithm", STORIES)
def test_requests_are_allowed_as_the_window_says(algorithm: Algorithm) -> None:
    """Three in ten seconds, as each way understands it."""
    limiter, limits = RateLimiter(0.0, WINDOWS[algorithm]()), Limits(max_requests=MOST, interval=INTERVAL)
    story = STORIES[algorithm]
    assert [(at, limiter.check(limits, float(at)).allowed) for at, _ in story] == story


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_a_request_after_the_announced_wait_is_allowed(algorithm: Algorithm) -> None:
    """And not much earlier."""
    limiter, limits = RateLimiter(0.0, WINDOWS[algorithm]()), Limits(max_requests=MOST, interval=INTERVAL)
    now = 3.0
    for _ in range(20):
        while (verdict := limiter.check(limits, now)).allowed:
            now += 0.1
        assert 0 < verdict.wait_seconds < 2 * INTERVAL
        now += verdict.wait_seconds + 1e-6
        assert limiter.check(limits, now).allowed


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_others_use_the_same_window(algorithm: Algorithm) -> None:
    """Their requests are counted at their own times, though nobody asks in between."""
    limiter, limits = RateLimiter(0.0, WINDOWS[algorithm]()), Limits(max_requests=100, others=12.0)
    verdict = limiter.check(limits, 9.99)
    assert int(verdict.headers["x-ratelimit-remaining"]) < 90
    assert limiter.check(Limits(max_requests=100), 60.0).headers["x-ratelimit-remaining"] == "99"
