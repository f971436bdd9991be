"""What is known of a row while its requests are under way."""

import pytest

from leadconnector_async.jobs.run.in_flight import ROW_METRICS, RowMeter, RowMetrics


@pytest.mark.parametrize("seconds", [0.0, 0.25])
def test_an_answer_within_the_same_millisecond_is_an_answer(seconds: float) -> None:
    """On uvloop, whose clock counts in milliseconds, it took 0 s; a row without an answer has 0 s as well."""
    metrics = RowMetrics()
    token = ROW_METRICS.set(metrics)
    try:
        RowMeter().count_response("update_appointment", 200, seconds)
    finally:
        ROW_METRICS.reset(token)
    assert 0 < metrics.seconds == pytest.approx(seconds, abs=0.001)


def test_a_request_that_was_not_sent_leaves_a_row_as_it_was() -> None:
    """After a failed connection or an expired lease a stop need not wait for the row, unless it was sent before."""
    metrics = RowMetrics()
    meter = RowMeter()
    token = ROW_METRICS.set(metrics)
    try:
        sent = []
        for reached in (False, True, False):
            meter.count_sent("update_appointment")
            sent.append(metrics.sent)
            meter.count_failure("update_appointment", sent=reached)
            sent.append(metrics.sent)
    finally:
        ROW_METRICS.reset(token)
    assert sent == [True, False, True, True, True, True]
    assert metrics.doubtful
