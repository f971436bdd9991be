"""Each way of counting counts as its name says."""

import pytest

from leadconnector_async.sandbox.rate_limits import Limits, RateLimiter
from leadconnector_async.sandbox.windows import WINDOWS, Algorithm

MOST, INTERVAL = 3, 10.0

# Moments of requests, and which of them are let through.
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
def test_a_story_is_judged_as_written(algorithm: Algorithm) -> None:
    """Three in ten seconds, as each way understands it."""
    gate, limits = RateLimiter(0.0), Limits(max_requests=MOST, interval=INTERVAL, algorithm=algorithm)
    story = STORIES[algorithm]
    assert [(at, gate.judge(limits, float(at)).allowed) for at, _ in story] == story


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_whoever_waits_as_long_as_he_is_told_is_let_through(algorithm: Algorithm) -> None:
    """And not much earlier."""
    gate, limits = RateLimiter(0.0), Limits(max_requests=MOST, interval=INTERVAL, algorithm=algorithm)
    now = 3.0
    for _ in range(20):
        while (verdict := gate.judge(limits, now)).allowed:
            now += 0.1
        assert 0 < verdict.wait_seconds < 2 * INTERVAL
        now += verdict.wait_seconds + 1e-6
        assert gate.judge(limits, now).allowed


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_others_use_the_same_window(algorithm: Algorithm) -> None:
    """Their requests are counted at their own times, though nobody asks in between."""
    gate, limits = RateLimiter(0.0), Limits(max_requests=100, algorithm=algorithm, others=12.0)
    verdict = gate.judge(limits, 9.99)
    assert int(verdict.headers["x-ratelimit-remaining"]) < 90
    assert gate.judge(Limits(max_requests=100, algorithm=algorithm), 60.0).headers["x-ratelimit-remaining"] == "99"
