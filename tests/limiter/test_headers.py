"""What the rate limit headers say."""

from leadconnector_async import Quota
from leadconnector_async._limiter.headers import REMAINING, parse_count, read_limits, read_quota

HEADERS = {
    "x-ratelimit-max": "100",
    "x-ratelimit-remaining": "0",
    "x-ratelimit-interval-milliseconds": "10000",
    "x-ratelimit-limit-daily": "200000",
    "x-ratelimit-daily-remaining": "199999",
    "x-ratelimit-daily-reset": "1500",
}


def test_all_six_are_read() -> None:
    """Milliseconds become seconds."""
    assert read_quota(HEADERS) == Quota(100, 0, 10.0, 200_000, 199_999, 1.5)
    assert read_limits(HEADERS) == (100, 10.0)
    assert parse_count(HEADERS.get(REMAINING)) == 0


def test_what_is_missing_or_no_number_says_nothing() -> None:
    """Nor does what nobody can mean."""
    assert read_quota({}) == Quota()
    for text in ("", "many", "-1", "1.5", "9" * 16, "١"):
        assert read_quota(dict.fromkeys(HEADERS, text)) == Quota()
    assert read_limits({"x-ratelimit-max": "0", "x-ratelimit-interval-milliseconds": "60001"}) == (None, None)
