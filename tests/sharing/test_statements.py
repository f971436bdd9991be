"""What members were told by responses, and the reserve."""

import pytest

from leadconnector_async._sharing.exchange import exchange
from leadconnector_async._sharing.slots import Tally
from leadconnector_async._sharing.state import BudgetState, Lease, Limits, Member, Remaining, Report, Stamp, Stated
from leadconnector_async._sharing.statements import (
    compute_reserve,
    count_day,
    is_careful,
    measure_room,
    spend_day,
    take_day,
    take_limits,
    take_use,
)
from leadconnector_async._sharing.store import Reading

LIMITS = Limits(max_requests=100, interval=10.0)
NOW = 1000.0


def build() -> BudgetState:
    state, _ = exchange(None, Reading("", None, 0.0, "a", 1e6), Report(member="me", limits=LIMITS, wall=0.0))
    state.now = NOW
    return state


def report(limits: Limits = LIMITS, **stated: object) -> Report:
    told = Stated(**{"age": 0.5, **stated}) if stated else None  # type: ignore[arg-type]
    return Report(member="me", limits=limits, wall=0.0, stated=told)


def test_the_newest_statement_of_the_limit_counts() -> None:
    """By when the response came, not by when it was reported; and before what anybody was configured with."""
    state = build()
    take_limits(state, report(max_requests=50, age=2.0))
    take_limits(state, report(max_requests=70, age=3.0))
    assert state.max_requests == 50
    take_limits(state, report(max_requests=80, interval=20.0, age=1.0))
    assert (state.max_requests, state.interval) == (80, 20.0)
    take_limits(state, report(Limits(5, 1.0)))
    assert (state.max_requests, state.interval) == (80, 20.0)


@pytest.mark.parametrize(("others", "expected"), [([], (200, 5.0, 1.0)), (["other"], (100, 10.0, 2.0))])
def test_of_what_was_configured_the_strictest_counts(others: list[str], expected: tuple[int, float, float]) -> None:
    """A member that is alone has its own."""
    state = build()
    state.members.update({name: Member(NOW) for name in others})
    take_limits(state, report(Limits(200, 5.0, hold=1.0)))
    assert (state.max_requests, state.interval, state.hold) == expected


def remain(count: int, sent_age: float, answered_age: float) -> Report:
    return report(remaining=Remaining(count, sent_age, answered_age), age=answered_age)


def test_the_use_of_others_is_what_no_member_used() -> None:
    """100 less 60 that remain, less 4 that members may have used by then. An old response says nothing."""
    state = build()
    state.leases = {
        1: Lease("me", True, NOW - 0.6),
        2: Lease("me", True, NOW, in_flight=True),
        3: Lease("me", True, NOW - 0.4),  # after the response
    }
    state.used = {number: Stamp("me", True, NOW - age) for number, age in ((4, 10.4), (5, 10.6), (6, 10.8))}
    take_use(state, remain(60, 3.1, 0.5))
    assert state.foreign == 0
    take_use(state, remain(60, 0.7, 0.5))
    assert state.foreign == 36
    state.now += 29.0
    take_use(state, report())
    assert state.foreign == 36
    state.now += 1.1
    take_use(state, report())
    assert state.foreign == 0


def test_what_remains_is_not_compared_while_something_may_have_been_forgotten() -> None:
    """What a state does not know of its own members is not the use of others."""
    state = build()
    state.closed_until = NOW + 1.0
    take_use(state, remain(60, 0.7, 0.5))
    assert (state.foreign, is_careful(state)) == (0, False)


@pytest.mark.parametrize(
    ("freed", "counted", "remaining", "proven"),
    [(25, 0, 95, True), (24, 0, 95, False), (25, 0, 94, False), (25, 10, 85, True), (0, 95, 5, False)],
)
def test_a_server_that_forgets_as_we_do_is_trusted(freed: int, counted: int, remaining: int, proven: bool) -> None:
    """If a quarter of the limit has come free and the server counts only what was answered since, and 5 % more."""
    state = build()
    ages = [11.0] * freed + [5.0] * counted
    state.used = {number: Stamp("me", True, NOW - age) for number, age in enumerate(ages)}
    state.leases = {1000 + number: Lease("me", True, NOW, in_flight=True) for number in range(9)}
    take_use(state, remain(remaining, 0.2, 0.1))
    assert (state.proven, is_careful(state)) == (proven, not proven)


@pytest.mark.parametrize(
    ("foreign", "remaining", "out", "kept", "room"),
    [
        (0, 3, 1, 0, 2),
        (0, 60, 1, 20, 4),  # 5 % of the limit
        (0, 20, 0, 20, 1),  # a probe
        (0, 20, 1, 20, 0),  # that is out
        (50, 43, 3, 20, 7),  # half of what remains beside a margin of 3
        (50, 0, 0, 0, 0),
    ],
)
def test_no_more_leases_are_out_than_remain(foreign: int, remaining: int, out: int, kept: int, room: int) -> None:
    """Of bulk calls, until the server is trusted, and beside others."""
    state = build()
    take_use(state, remain(remaining, 0.2, 0.1))
    state.foreign = foreign
    state.leases = {number: Lease("me", True, NOW) for number in range(out)}
    assert measure_room(state, kept, bulk=True) == room
    state.now += 20.1
    assert measure_room(state, kept, bulk=True) == 100  # too long ago


@pytest.mark.parametrize(
    ("used", "waiting", "began", "reserve"),
    [
        (0, 0, 0.0, 5),
        (4, 0, 0.0, 8),  # and twice the scatter
        (3, 1, 0.0, 8),
        (90, 0, 0.0, 50),
        (0, 0, NOW - 9.9, 25),
        (49, 0, NOW - 9.9, 50),
    ],
)
def test_the_reserve_follows_demand(used: int, waiting: int, began: float, reserve: int) -> None:
    """At least 5 %, at most half; a quarter before any demand is known."""
    state = build()
    state.began, state.members["other"] = began, Member(NOW, interactive=waiting)
    assert compute_reserve(state, report(), Tally(in_use=used + 7, bulk=7)) == reserve
    state.now += 59.0
    assert compute_reserve(state, report(), Tally()) == (8 if reserve == 8 else max(5, reserve * (used > 0)))
    state.now += 20.0
    assert compute_reserve(state, report(), Tally()) == 5


@pytest.mark.parametrize(("fixed", "most", "reserve"), [(0, 100, 0), (30, 100, 30), (80, 100, 80), (80, 50, 40)])
def test_a_reserve_that_is_set(fixed: int, most: int, reserve: int) -> None:
    """It is kept, as a part of the limit if that is lower than was configured."""
    state = build()
    state.max_requests = most
    limits = Limits(100, 10.0, interactive_reserve=fixed)
    assert compute_reserve(state, report(limits), Tally(in_use=40)) == reserve


def test_the_day_is_what_was_stated_last_and_begins_again() -> None:
    """Leases that are out are deducted. Bulk calls leave what is reserved of the day."""
    state, limits = build(), Limits(100, 10.0, daily_reserve=3)
    state.leases = {1: Lease("me", True, NOW)}
    take_day(state, report(daily_limit=50, daily_remaining=9, daily_reset=20.0, age=1.0))
    take_day(state, report(daily_remaining=40, age=2.0))
    assert [count_day(state, report(limits), bulk=bulk) for bulk in (False, True)] == [8, 5]
    spend_day(state, 8)
    assert [count_day(state, report(limits), bulk=bulk) for bulk in (False, True)] == [0, 0]
    state.now = NOW + 19.0
    take_day(state, report())
    assert state.day.remaining == 49


def test_a_spent_day_with_an_unknown_end_is_tried_once_a_minute() -> None:
    """One request, as a probe."""
    state = build()
    take_day(state, report(daily_remaining=0))
    assert count_day(state, report(), bulk=False) == 1
    spend_day(state, 1)
    state.now = NOW + 59.9
    assert count_day(state, report(), bulk=False) == 0
    state.now = NOW + 60.0
    assert count_day(state, report(), bulk=False) == 1
