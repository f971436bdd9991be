"""`Retry-After` and similar headers."""

from datetime import UTC, datetime

import pytest

from leadconnector_async._retry.retry_after import read_retry_after

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
    """Seconds of any size, milliseconds, an HTTP date against the response's own clock; nonsense is ignored."""
    assert read_retry_after(headers, NOON) == seconds
