"""The limiter's arithmetic, without a clock."""

import math
import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import RateLimit
from leadconnector_async._limiter.slots import LocalBudget, Ticket


def make_open(max_requests: int, interval: float) -> LocalBudget:
    """LocalBudget that have heard enough good answers to use all that they have."""
    budget = LocalBudget(RateLimit(max_requests=max_requests, interval=interval))
    for _ in range(max_requests):
        budget.window.grow(-1.0, interval)
    return budget


def take(budget: LocalBudget, now: float) -> Ticket:
    ticket = budget.take(now)
    assert ticket is not None
    return ticket


def count(budget: LocalBudget, now: float) -> int:
    """How many can be taken at once."""
    taken = 0
    while budget.take(now):
        taken += 1
    return taken


def test_a_slot_is_free_again_one_interval_after_the_answer() -> None:
    """Not after the sending: the server may have counted the request as late as its answer."""
    budget = make_open(1, 10.0)
    ticket = take(budget, 0.0)
    assert not budget.take(5.0)
    assert budget.compute_next(5.0) is None
    budget.finish(ticket, 8.0, {})
    assert not budget.take(17.9)
    assert budget.compute_next(17.9) == 18.0
    assert budget.take(18.0)


def test_a_slot_that_comes_free_is_used_at_once_though_others_are_under_way() -> None:
    """Who waits is woken by time, not only by the next answer."""
    budget = make_open(2, 10.0)
    budget.finish(take(budget, 0.0), 1.0, {})
    take(budget, 9.0)
    assert budget.compute_next(9.0) == 11.0
    assert budget.take(11.0)


def test_a_request_that_was_cut_off_keeps_its_slot_a_margin_longer() -> None:
    """It may still be on its way to the server."""
    budget = make_open(1, 10.0)
    budget.free(take(budget, 0.0), 1.0, sent=True)
    assert not budget.take(11.5)
    assert budget.take(12.0)


def test_a_request_that_never_left_gives_its_slot_back_at_once() -> None:
    """The server cannot have counted it."""
    budget = make_open(1, 10.0)
    budget.free(take(budget, 0.0), 0.0, sent=False)
    assert budget.take(0.0)


def test_before_the_first_answer_one_request_goes_ahead_alone() -> None:
    """The real limit is not known yet; its answer states it, and each good one lets more go at once."""
    budget = LocalBudget(RateLimit())
    first = take(budget, 0.0)
    assert not budget.take(0.0)
    budget.finish(first, 0.1, {"x-ratelimit-max": "3", "x-ratelimit-interval-milliseconds": "2000"})
    assert (budget.limit.max_requests, budget.limit.interval) == (3, 2.0)
    assert count(budget, 0.1) == 2


def test_a_failure_that_states_no_limit_opens_nothing() -> None:
    """A page of the edge is not the server's word on its limits; a success without headers has to do."""
    for headers, success, opened in (({}, False, 1), ({"x-ratelimit-max": "5"}, False, 2), ({}, True, 2)):
        budget = LocalBudget(RateLimit())
        budget.finish(take(budget, 0.0), 0.1, headers, success=success)
        assert count(budget, 0.1) == opened


def test_one_that_hangs_does_not_hold_up_the_rest_for_long() -> None:
    """After half an interval nobody waits for its answer any more, though its slot stays taken."""
    budget = LocalBudget(RateLimit())
    take(budget, 0.0)
    assert budget.compute_next(1.0) == 5.0
    assert not budget.take(4.9)
    budget.finish(take(budget, 5.0), 5.1, STATED_TEN)
    assert count(budget, 5.1) == 2
    assert budget.slots.in_use == 4


def test_those_that_hang_from_before_a_pause_are_no_probe() -> None:
    """The probe goes beside them, and its success lets more go."""
    budget = make_open(50, 10.0)
    hanging = [take(budget, 0.0) for _ in range(5)]
    refuse(budget, take(budget, 0.0), 0.1, 10.0, STATED_TEN)
    budget.finish(take(budget, 10.1), 10.2, STATED_TEN)
    assert count(budget, 10.2) == 2
    assert budget.slots.in_flight == len(hanging) + 2


def test_a_limit_that_shrinks_keeps_the_slots_in_use_valid() -> None:
    """Five in flight under a limit that is now two: nothing goes until they are through."""
    budget = make_open(5, 1.0)
    for ticket in [take(budget, 0.0) for _ in range(5)]:
        budget.finish(ticket, 0.5, {"x-ratelimit-max": "2"})
    assert not budget.take(1.4)
    assert count(budget, 1.5) == 2


STATED_TEN = {"x-ratelimit-max": "50", "x-ratelimit-interval-milliseconds": "10000"}
STATED = {"x-ratelimit-max": "5", "x-ratelimit-interval-milliseconds": "1000"}


def refuse(
    budget: LocalBudget, ticket: Ticket, now: float, seconds: float, headers: dict[str, str] = STATED
) -> bool:
    budget.finish(ticket, now, headers, success=False)
    return budget.begin_pause(ticket, now, seconds)


def test_a_pause_is_said_once_and_never_shortened() -> None:
    """Refusals of requests that were sent before the pause began belong to it; a shorter one does not end it."""
    budget = make_open(5, 1.0)
    first, second, third = (take(budget, 9.0) for _ in range(3))
    assert refuse(budget, first, 10.0, 4.0)
    assert not refuse(budget, second, 10.1, 9.0)
    assert not refuse(budget, third, 11.0, 1.0)
    assert budget.pause.until == 14.0
    assert not budget.take(13.9)
    assert budget.compute_next(13.9) == 14.0
    assert refuse(budget, take(budget, 14.5), 15.0, 4.0)


def test_a_pause_ends_with_one_probe_and_a_refused_probe_begins_the_next() -> None:
    """One goes ahead alone; its success lets more go."""
    budget = make_open(50, 1.0)
    assert refuse(budget, take(budget, 0.0), 0.1, 4.0)
    probe = take(budget, 4.1)
    assert not budget.take(4.1)
    assert refuse(budget, probe, 4.2, 4.0)
    probe = take(budget, 8.2)
    budget.finish(probe, 8.3, STATED)
    assert count(budget, 8.3) == 2


def test_refusals_teach_a_limit_that_no_header_states() -> None:
    """Twenty of thirty were let through: twenty it is, whichever answer came first."""
    for refused in (slice(20, 30), slice(0, 10)):
        budget = make_open(100, 10.0)
        tickets = [take(budget, 0.0) for _ in range(30)]
        for ticket in tickets[refused]:
            refuse(budget, ticket, 0.1, 10.0, {})
        for ticket in tickets:
            if ticket not in tickets[refused]:
                budget.finish(ticket, 0.2, {"x-ratelimit-daily-remaining": "100"})
        assert budget.limit.max_requests == 20
        assert not budget.is_idle(100.0)
        assert budget.is_idle(3600.3)


def test_a_limit_that_headers_state_is_not_lowered_by_refusals() -> None:
    """Somebody else has used it up."""
    budget = make_open(5, 1.0)
    refuse(budget, take(budget, 0.0), 0.1, 4.0)
    assert budget.limit.max_requests == 5
    assert budget.window.decide_mode(0.2, 1.0) == "shared"


def test_a_wait_is_foreseen_by_the_place_in_the_queue() -> None:
    """The least that it can be, so that nobody is sent away who might have been served."""
    budget = make_open(2, 10.0)
    assert budget.compute_wait(0.0, 0) == 0.0
    for ticket, at in ((take(budget, 0.0), 1.0), (take(budget, 0.0), 3.0)):
        budget.finish(ticket, at, {})
    assert [budget.compute_wait(5.0, ahead) for ahead in range(5)] == [6.0, 8.0, 16.0, 18.0, 26.0]


steps = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0, 5), st.sampled_from(["answer", "cut", "back"])), min_size=1, max_size=60
)


@given(steps, st.integers(1, 6))
def test_no_window_ever_holds_more_than_the_limit(schedule: list[tuple[float, float, str]], limit: int) -> None:
    """Whatever arrives when, and wherever in its stay the server counts it: never more than N in T."""
    budget = make_open(limit, 1.0)
    now = 0.0
    under_way: list[tuple[float, str, Ticket]] = []
    sent: list[float] = []
    counted: list[float] = []
    for gap, latency, end in schedule:
        now += gap
        under_way = end_all(budget, under_way, now)
        ticket = budget.take(now)
        if ticket is not None:
            under_way.append((now + latency, end, ticket))
            if end != "back":
                sent.append(now)
                counted.append(now + latency)
    end_all(budget, under_way, math.inf)
    assert budget.slots.in_flight == 0
    for moments in (sent, counted):
        moments.sort()
        for first in moments:
            assert sum(first <= moment < first + 1.0 - 1e-9 for moment in moments) <= limit


def end_all(
    budget: LocalBudget, under_way: list[tuple[float, str, Ticket]], now: float
) -> list[tuple[float, str, Ticket]]:
    for done_at, how, ticket in sorted((one for one in under_way if one[0] <= now), key=lambda one: one[0]):
        if how == "answer":
            budget.finish(ticket, done_at, {})
        elif how == "cut":
            budget.free(ticket, done_at, sent=True)
        else:
            budget.free(ticket, done_at, sent=False)
    return [one for one in under_way if one[0] > now]


def test_a_clock_that_is_behind_frees_no_slot_early() -> None:
    """One that counts whole milliseconds may stamp an answer before the server has counted its request."""
    dice, budget, counted, instant = (
        random.Random(5),
        LocalBudget(RateLimit(max_requests=1, interval=0.1), lag=0.001),
        [],
        0.0,
    )
    budget.window.grow(-1.0, 0.1)
    while len(counted) < 50:
        ticket = budget.take(math.floor(instant * 1000) / 1000)
        if ticket is not None:
            instant += dice.uniform(0.0001, 0.003)
            counted.append(instant)
            budget.finish(ticket, math.floor((instant + 0.0001) * 1000) / 1000, {})
        instant += 0.00001
    assert min(later - earlier for earlier, later in pairwise(counted)) >= 0.1
