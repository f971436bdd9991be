"""What bulk calls leave to interactive ones, without a clock."""

import math
import random
from itertools import pairwise

import pytest

from leadconnector_async import ConfigurationError, RateLimit
from leadconnector_async._limiter.reserve import count_at_once, follow_demand
from leadconnector_async._limiter.slots import LocalBudget, Ticket

T = 10.0
ALONE = {"x-ratelimit-max": "100", "x-ratelimit-interval-milliseconds": "10000"}


def make_open(most: int = 100, reserve: int | None = None) -> LocalBudget:
    """A budget that has seen enough successes to use all that it has."""
    budget = LocalBudget(RateLimit(max_requests=most, interval=T, interactive_reserve=reserve))
    for _ in range(most):
        budget.window.grow(-100.0, T)
    return budget


def take(budget: LocalBudget, now: float, *, bulk: bool = False) -> Ticket:
    ticket = budget.take(now, bulk=bulk)
    assert ticket is not None
    return ticket


def use(budget: LocalBudget, now: float, count: int, *, bulk: bool = False) -> None:
    """So many requests, each with its response at once."""
    for _ in range(count):
        budget.finish(take(budget, now, bulk=bulk), now, {})


def send_bulk(budget: LocalBudget, begin: float, end: float) -> list[float]:
    """When bulk calls go that never stop coming, each with its response at once."""
    now, sent = begin, list[float]()
    while now < end:
        while (ticket := budget.take(now, bulk=True)) is not None:
            budget.finish(ticket, now, {})
            sent.append(now)
        following = budget.compute_next(now, bulk=True)
        assert following is not None
        assert following > now, "it would ask again at once, for ever"
        now = following
    return sent


@pytest.mark.parametrize(
    ("most", "used", "reserve"),
    [
        *((100, 0, 5), (100, 5, 5), (100, 13, 13), (100, 50, 50), (100, 90, 50), (20, 0, 1), (30, 0, 2)),
        *((5, 0, 1), (3, 9, 1), (2, 0, 1), (2, 2, 1), (1, 0, 0), (1, 1, 0)),
    ],
)
def test_the_reserve_follows_demand(most: int, used: int, reserve: int) -> None:
    """At least 5 % and one, at most half; a limit of one is left to bulk calls, or no job would ever end."""
    assert follow_demand(most, used) == reserve
    assert 1 <= count_at_once(most, reserve) <= most - reserve


def test_a_job_beside_an_idle_front_desk_uses_all_but_one_in_twenty() -> None:
    """95 of 100 in each window: half of the limit at once, the others spread over the window."""
    sent = send_bulk(make_open(), 0.0, 50.0)
    in_window = [sum(begin <= at < begin + T for at in sent) for begin in (0.0, 10.0, 20.0, 30.0, 40.0)]
    assert in_window == [95] * 5
    assert sent.count(0.0) == 51  # the first of those that are spread goes at once too
    assert max(later - one for one, later in pairwise(sent)) < 0.25


def test_a_job_beside_a_busy_front_desk_is_spread_over_the_whole_window() -> None:
    """So an interactive call that finds all slots used waits for a tenth of a second, not for the next burst."""
    budget = make_open()
    use(budget, 0.0, 5)
    sent, waits = send_bulk(budget, 0.0, 0.01), list[float]()
    for number in range(120):
        came = now = 0.01 + number / 2
        while (ticket := budget.take(now)) is None:
            now = budget.compute_next(now) or math.inf
        budget.finish(ticket, now, {})
        waits.append(now - came)
        sent += send_bulk(budget, now, came + 0.5)
    assert max(waits[:20]) < 2.0  # in the first window, demand is not known yet
    assert max(waits[20:]) < 0.2
    late = [at for at in sent if at >= 30.0]
    assert max(late.count(at) for at in late) <= 2
    assert len(late) / 3 >= 0.97 * 80


def test_interactive_calls_find_what_bulk_calls_leave() -> None:
    """However long the job goes on; and with more of them, more is left in the next window."""
    budget = make_open()
    send_bulk(budget, 0.0, 9.99)
    use(budget, 9.99, 5)
    assert budget.take(9.99) is None
    assert budget.describe(9.99, 0).reserve == 5
    send_bulk(budget, 10.0, 15.0)
    use(budget, 15.0, 20)
    send_bulk(budget, 15.0, 26.0)
    assert budget.describe(26.0, 0).reserve == 25  # the five of 9.99 and the twenty of 15.0 lay in one window


def test_the_reserve_falls_back_when_the_front_desk_is_idle_again() -> None:
    """After two more windows, a job has 95 of 100 again."""
    budget = make_open()
    use(budget, 0.0, 40)
    assert budget.describe(0.0, 0).reserve == 40
    send_bulk(budget, 0.0, 60.0)
    assert budget.describe(60.0, 0).reserve == 5
    sent = send_bulk(budget, 60.0, 80.0)
    assert len(sent) / 2 >= 94


@pytest.mark.parametrize("reserve", [0, 1, 30, 80, 99])
def test_a_reserve_that_is_set_does_not_follow_demand(reserve: int) -> None:
    """Bulk calls get what it leaves, with an idle front desk as with a busy one; with 0, all of it and at once."""
    budget = make_open(reserve=reserve)
    sent = send_bulk(budget, 0.0, 9.99)
    assert len(sent) == 100 - reserve
    assert reserve or sent == [0.0] * 100
    use(budget, 9.99, reserve)
    assert budget.describe(9.99, 0).reserve == reserve


@pytest.mark.parametrize(
    ("reserve", "stated", "left"),
    [(10, 200, 10), (10, 50, 10), (10, 20, 10), (10, 15, 7), (10, 1, 0), (80, 200, 80), (80, 20, 16), (80, 1, 0)],
)
def test_a_reserve_that_is_set_leaves_something_of_a_lower_limit(reserve: int, stated: int, left: int) -> None:
    """Half of it, or the part that was left before if that is less; a higher limit does not raise the reserve."""
    budget = make_open(reserve=reserve)
    budget.finish(take(budget, 0.0), 0.0, {"x-ratelimit-max": str(stated)})
    assert budget.describe(0.0, 0).reserve == left
    assert len(send_bulk(budget, 10.0, 19.99)) == stated - left


@pytest.mark.parametrize("value", [100, 101])
def test_a_reserve_of_the_whole_window_is_refused(value: int) -> None:
    """Bulk calls would wait for ever; the error says what would be possible."""
    with pytest.raises(ConfigurationError, match=rf"interactive_reserve is {value}; it must be less than .*, 100"):
        RateLimit(max_requests=100, interactive_reserve=value)
    assert RateLimit(max_requests=100, interactive_reserve=99).interactive_reserve == 99


@pytest.mark.parametrize("value", [-1, True, 1.5, "5", b"5", 10**12])
def test_a_reserve_that_is_no_count_is_refused(value: object) -> None:
    """It is a number of requests, not a part of them."""
    with pytest.raises(ConfigurationError, match=r"RateLimit\.interactive_reserve is .*whole number of at least 0"):
        RateLimit(interactive_reserve=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [1, 2, 3, 4, 7])
def test_tiny_limits_let_bulk_calls_through(most: int) -> None:
    """All that is not reserved, in every window."""
    share = most - (most > 1) * 1
    sent = send_bulk(make_open(most), 0.0, 100.0)
    assert len(sent) >= share * 9
    assert all(sum(at <= one < at + T for one in sent) <= share for at in sent)


def test_a_limit_that_shrinks_or_grows_changes_what_bulk_calls_have() -> None:
    """From the next one on; slots in use stay valid."""
    budget = make_open()
    use(budget, 0.0, 40, bulk=True)
    budget.finish(take(budget, 0.0, bulk=True), 0.0, {"x-ratelimit-max": "20"})
    assert budget.take(9.9, bulk=True) is None
    assert len(send_bulk(budget, 10.0, 19.99)) == 19
    budget.finish(take(budget, 19.99), 19.99, {"x-ratelimit-max": "200"})
    assert len(send_bulk(budget, 20.0, 29.98)) == 190


def test_a_job_alone_finds_out_that_a_limit_was_learned_too_low() -> None:
    """It never uses the whole of it, but all that it may use: then a little more is tried."""
    budget = make_open()
    use(budget, 0.0, 40)
    ticket = take(budget, 0.0)
    budget.refuse(ticket, 0.0, {}, 0.0, 1.0)
    learned = budget.limit.max_requests
    assert learned < 100
    for _ in range(100):
        budget.window.grow(5.0, T)
    send_bulk(budget, 5.0, 300.0)
    assert budget.limit.max_requests == 100


def test_a_bulk_call_is_refused_by_its_own_deadline_and_an_interactive_one_is_not() -> None:
    """At the same moment: slots are free, but not for bulk calls."""
    budget = make_open()
    sent = send_bulk(budget, 0.0, 9.9)
    assert (len(sent), budget.compute_wait(9.9, 0)) == (95, 0.0)
    assert budget.compute_wait(9.9, 0, 0) == pytest.approx(0.1)
    assert budget.compute_wait(9.9, 49, 49) == pytest.approx(0.1)
    assert budget.compute_wait(9.9, 60, 60) == pytest.approx(sent[60] + 0.1)
    assert budget.compute_wait(9.9, 95, 95) == pytest.approx(T + 0.1)


def test_a_wait_is_never_said_to_be_longer_than_it_is() -> None:
    """A refusal by the deadline must be right: whoever is refused would have come too late."""
    for seed in range(200):
        dice = random.Random(seed)
        most = dice.choice([1, 2, 3, 10, 100])
        budget = make_open(most)
        now = 0.0
        for _ in range(dice.randrange(2 * most)):
            now += dice.expovariate(most / T)
            if ticket := budget.take(now, bulk=dice.random() < 0.8):
                budget.finish(ticket, now, {})
        ahead = dice.randrange(2 * most)
        said = budget.compute_wait(now, ahead, ahead)
        sent = send_bulk(budget, now, now + 5 * T)
        assert len(sent) > ahead
        assert said <= sent[ahead] - now + 1e-6, seed


def test_the_laws_hold_whatever_happens() -> None:
    """Bulk calls in use never exceed N - reserve when one goes, none is lost, and bulk calls never fill a limit."""
    for seed in range(300):
        play_random(random.Random(seed))


def play_random(dice: random.Random) -> None:
    """Both classes, responses, cuts, tickets that come back, 429s and limits that change."""
    most = dice.choice([1, 2, 3, 10, 40])
    budget = make_open(most, reserve=dice.choice([None, None, 0, most // 2, most - 1]))
    now, out = 0.0, list[Ticket]()
    for _ in range(200):
        now += dice.expovariate(3 * most / T)
        bulk = dice.random() < 0.7
        if ticket := budget.take(now, bulk=bulk):
            out.append(ticket)
            state = budget.describe(now, 0)
            assert not bulk or budget.reserve.in_use <= state.limit - state.reserve
        if out and dice.random() < 0.6:
            end_one(budget, out.pop(dice.randrange(len(out))), now, dice)
        assert budget.reserve.in_flight == sum(one.bulk for one in out)
    for one in out:
        budget.finish(one, now, {})
    now = max(now, budget.pause.until) + 10 * budget.limit.interval
    assert budget.describe(now, 0).in_flight == 0
    use(budget, now, 1, bulk=True)  # the budget of an idle location lets one go
    assert budget.reserve.in_use == 1


def end_one(budget: LocalBudget, ticket: Ticket, now: float, dice: random.Random) -> None:
    match dice.choice(["finish"] * 12 + ["cut", "return", "429", "other limit"]):
        case "cut":
            budget.free(ticket, now, sent=True)
        case "return":
            budget.free(ticket, now, sent=False)
        case "429":
            budget.refuse(ticket, now, {}, now, 1.0)
        case "other limit":
            stated = {"x-ratelimit-max": str(dice.randint(1, 40)), "x-ratelimit-interval-milliseconds": "10000"}
            budget.finish(ticket, now, stated)
        case _:
            budget.finish(ticket, now, {})


def test_a_job_leaves_room_to_clients_of_other_processes() -> None:
    """The server's word on what remains counts: with the reserve alone remaining, no bulk call goes for a while."""
    budget = make_open()
    use(budget, 0.0, 30, bulk=True)
    budget.finish(take(budget, 1.0), 1.0, {**ALONE, "x-ratelimit-remaining": "5"})  # 64 are used by others
    assert budget.describe(1.0, 0).mode == "paced"
    assert budget.take(1.1, bulk=True) is None
    following = budget.compute_next(1.1, bulk=True)
    assert following is not None
    assert 1.1 < following < math.inf


def test_a_job_is_not_held_back_forever_by_what_people_are_told() -> None:
    """People call every second and never wait; what the server tells them delays no probe of the job."""
    budget, now, went = LocalBudget(RateLimit(interactive_reserve=20)), 0.0, 0
    told = {**ALONE, "x-ratelimit-remaining": "14"}  # some 76 are used by others
    for second in range(120):
        budget.finish(take(budget, now), now + 0.05, told)
        for tenth in range(1, 10):
            now = second + tenth / 10
            if (ticket := budget.take(now, bulk=True)) is not None:
                budget.finish(ticket, now + 0.05, told)
                went += 1
        now = second + 1.0
    assert 30 <= went <= 60
