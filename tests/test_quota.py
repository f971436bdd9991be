"""The limiter's arithmetic, without a clock."""

from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async._quota import Slots


def heard(max_requests: int, interval: float) -> Slots:
    slots = Slots(max_requests, interval)
    slots.learn({})
    return slots


def test_a_slot_is_free_again_one_interval_after_the_answer() -> None:
    """Not after the sending: the server may have counted the request as late as its answer."""
    slots = heard(1, 10.0)
    assert slots.take(0.0)
    assert not slots.take(5.0)
    assert slots.compute_next(5.0) is None
    slots.finish(8.0)
    assert not slots.take(17.9)
    assert slots.compute_next(17.9) == 18.0
    assert slots.take(18.0)


def test_a_request_that_was_cut_off_keeps_its_slot_a_margin_longer() -> None:
    """It may still be on its way to the server."""
    slots = heard(1, 10.0)
    assert slots.take(0.0)
    slots.cut(1.0)
    assert not slots.take(11.5)
    assert slots.take(12.0)


def test_a_request_that_never_left_gives_its_slot_back_at_once() -> None:
    """The server cannot have counted it."""
    slots = heard(1, 10.0)
    assert slots.take(0.0)
    slots.give_back()
    assert slots.take(0.0)


def test_before_the_first_answer_one_request_goes_ahead_alone() -> None:
    """The real limit is not known yet; its answer opens the rest."""
    slots = Slots(100, 10.0)
    assert slots.take(0.0)
    assert not slots.take(0.0)
    slots.finish(0.1)
    slots.learn({"x-ratelimit-max": "3", "x-ratelimit-interval-milliseconds": "2000"})
    assert (slots.max_requests, slots.interval) == (3, 2.0)
    assert [slots.take(0.1) for _ in range(3)] == [True, True, False]


def test_a_failure_that_states_no_limit_opens_nothing() -> None:
    """A page of the edge is not the server's word on its limits; a success without headers has to do."""
    for headers, success, opened in (({}, False, False), ({"x-ratelimit-max": "5"}, False, True), ({}, True, True)):
        slots = Slots(100, 10.0)
        assert slots.take(0.0)
        slots.finish(0.1)
        slots.learn(headers, success=success)
        assert [slots.take(0.1), slots.take(0.1)] == [True, opened]


def test_a_limit_that_shrinks_keeps_the_slots_in_use_valid() -> None:
    """Five in flight under a limit that is now two: nothing goes until they are through."""
    slots = heard(5, 1.0)
    assert all(slots.take(0.0) for _ in range(5))
    slots.learn({"x-ratelimit-max": "2"})
    for _ in range(5):
        slots.finish(0.5)
    assert not slots.take(1.4)
    assert [slots.take(1.5) for _ in range(3)] == [True, True, False]


def test_headers_that_make_no_sense_change_nothing() -> None:
    """Zero, text and silence leave the limits as they are."""
    slots = heard(5, 1.0)
    for headers in (
        {"x-ratelimit-interval-milliseconds": "999999999999999"},
        {"x-ratelimit-max": "0"},
        {"x-ratelimit-max": "many"},
        {"x-ratelimit-interval-milliseconds": "0"},
        {},
    ):
        slots.learn(headers)
        assert (slots.max_requests, slots.interval) == (5, 1.0)


def test_a_pause_is_said_once_and_never_shortened() -> None:
    """Refusals of requests that were sent before the pause began belong to it; a shorter one does not end it."""
    slots = heard(5, 1.0)
    assert slots.pause(10.0, 4.0, sent_at=9.0)
    assert not slots.pause(10.1, 9.0, sent_at=9.5)
    assert not slots.pause(11.0, 1.0, sent_at=10.5)
    assert slots.paused_until == 14.0
    assert not slots.take(13.9)
    assert slots.compute_next(13.9) == 14.0
    assert slots.take(14.0)
    assert slots.pause(15.0, 4.0, sent_at=14.5)


steps = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0, 5), st.sampled_from(["answer", "cut", "back"])), min_size=1, max_size=60
)


@given(steps, st.integers(1, 6))
def test_no_window_ever_holds_more_than_the_limit(schedule: list[tuple[float, float, str]], limit: int) -> None:
    """Whatever arrives when, and wherever in its stay the server counts it: never more than N in T."""
    slots = heard(limit, 1.0)
    now = 0.0
    open_requests: list[tuple[float, str]] = []
    sent: list[float] = []
    counted: list[float] = []
    for gap, latency, end in schedule:
        now += gap
        for done_at, how in sorted(one for one in open_requests if one[0] <= now):
            open_requests.remove((done_at, how))
            if how == "answer":
                slots.finish(done_at)
            elif how == "cut":
                slots.cut(done_at)
            else:
                slots.give_back()
        if slots.take(now):
            open_requests.append((now + latency, end))
            if end != "back":
                sent.append(now)
                counted.append(now + latency)
    for moments in (sent, counted):
        moments.sort()
        for first in moments:
            assert sum(first <= moment < first + 1.0 - 1e-9 for moment in moments) <= limit
