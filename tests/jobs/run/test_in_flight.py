"""What is known of a row while its requests are under way."""

import pytest

from leadconnector_async.events import ResponseReceived
from leadconnector_async.jobs.run.in_flight import ROW_METRICS, RowMetrics, listen


@pytest.mark.parametrize("seconds", [0.0, 0.25])
def test_an_answer_within_the_same_millisecond_is_an_answer(seconds: float) -> None:
    """On uvloop, whose clock counts in milliseconds, it took 0 s; a row without an answer has 0 s as well."""
    metrics = RowMetrics()
    token = ROW_METRICS.set(metrics)
    try:
        event = ResponseReceived("update_appointment", "loc1", 1, status=200, seconds=seconds)
        listen("loc1", lambda _: None, None)(event)
    finally:
        ROW_METRICS.reset(token)
    assert 0 < metrics.seconds == pytest.approx(seconds, abs=0.001)
