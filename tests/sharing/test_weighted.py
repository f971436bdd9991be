"""A server that weighs its last window: what it may count, how it is told from others, and how it is asked."""

import math
import random

import pytest

from leadconnector_async._sharing.exchange import exchange
from leadconnector_async._sharing.state import (
    BudgetState,
    Grant,
    Lease,
    Limits,
    Remaining,
    Report,
    Stamp,
    Stated,
)
from leadconnector_async._sharing.statements import is_careful, is_weighed, measure_room, take_use
from leadconnector_async._sharing.store import Reading
from leadconnector_async._sharing.weighted import measure_weighted

from ..simulation.windows import Counter

NOW, INTERVAL, MOST = 1000.0, 10.0, 100


@pytest.mark.parametrize(
    ("ages", "counted"),
    [
        pytest.param([], 0.0, id="nothing"),
        pytest.param([0.0] * 80, 80.0, id="a burst, just now"),
        pytest.param([9.9] * 80, 80.0, id="a burst within the interval"),
        pytest.param([12.5] * 80, 60.0, id="a burst before it: in the older window, at its end"),
        pytest.param([20.0] * 80, 0.0, id="two intervals ago"),
        pytest.param([number / 8 for number in range(160)], 80.0, id="an even pace"),
        pytest.param([0.0] * 40 + [12.5] * 40, 70.0, id="two bursts"),
    ],
)
def test_the_most_that_it_may_count(ages: list[float], counted: float) -> None:
    """With windows that begin where it counts most."""
    assert measure_weighted([NOW - age for age in ages], NOW, INTERVAL) == pytest.approx(counted, abs=1.0)


@pytest.mark.parametrize("seed", range(20))
def test_it_never_counts_more_wherever_its_windows_begin(seed: int) -> None:
    """Requests in bursts and at random; they may also have come to it earlier than we know."""
    dice = random.Random(seed)
    times = sorted(dice.choice((100.0, 103.0, dice.uniform(100.0, 120.0))) for _ in range(dice.randint(1, 200)))
    highest = 0.0
    for part in range(50):
        counter = Counter()
        for at in times:
            assert counter.admit(10**6, INTERVAL, at + part * INTERVAL / 50)
        highest = max(highest, counter.count(10**6, INTERVAL, 120.0 + part * INTERVAL / 50))
    most = measure_weighted(times, 120.0, INTERVAL)
    assert highest <= most + 1e-9
    assert most <= highest + len(times) / 50 + 1, "but no more than that, as far as 50 beginnings can tell"
    assert measure_weighted([at - dice.uniform(0, 0.5) for at in times], 120.0, INTERVAL) <= most + 1e-9


def build(ages: dict[float, int], *, foreign_at: float = float("-inf")) -> BudgetState:
    """So many requests of members were answered before so many seconds."""
    limits = Limits(max_requests=MOST, interval=INTERVAL)
    state, _ = exchange(None, Reading("", None, 0.0, "a", 1e6), Report(member="me", limits=limits, wall=0.0))
    answered = [NOW - age for age, many in ages.items() for _ in range(many)]
    state.now, state.foreign_at = NOW, foreign_at
    state.used = {number: Stamp("me", True, at) for number, at in enumerate(answered)}
    return state


def tell(state: BudgetState, remaining: int) -> None:
    """A response to a request of just now."""
    stated = Stated(age=0.0, remaining=Remaining(remaining, 0.1, 0.0))
    limits = Limits(max_requests=MOST, interval=INTERVAL)
    take_use(state, Report(member="me", limits=limits, wall=0.0, stated=stated))


def test_a_count_that_weighing_explains_is_not_the_use_of_others() -> None:
    """80 of 12 s ago count as up to 64 there, and as 0 here."""
    state = build({12.0: 80})
    tell(state, MOST - 60)
    assert is_weighed(state)
    assert state.foreign == 0
    assert not is_careful(state), "what remained says less than what can be computed"


@pytest.mark.parametrize("remaining", [MOST - 70, MOST - 100])
def test_more_than_weighing_explains_is_the_use_of_others(remaining: int) -> None:
    """Then what remains decides, as before."""
    state = build({12.0: 80})
    tell(state, remaining)
    assert not is_weighed(state)
    assert state.foreign == MOST - remaining
    assert is_careful(state)


def test_others_that_were_there_lately_explain_it_first() -> None:
    """They come and go, and a server that is shared with them is not to be taken for one that weighs."""
    state = build({12.0: 80}, foreign_at=NOW - 19 * INTERVAL)
    tell(state, MOST - 60)
    assert state.foreign == 60


@pytest.mark.parametrize(("later", "weighed"), [(0.1, True), (19.0, True), (21.0, False)])
def test_a_server_that_has_forgotten_at_once_does_not_weigh(later: float, *, weighed: bool) -> None:
    """What it counts more from then on is the use of others.

    It is not sure for two intervals: a burst at the very end of its window looks as if it forgot at once.
    """
    state = build({12.0: 80})
    tell(state, MOST)
    assert state.proven
    state.now += later
    state.used = {number: Stamp("me", True, state.now - 12.0) for number in range(80)}
    tell(state, MOST - 60)
    assert (state.foreign, state.proven, is_weighed(state)) == (0 if weighed else 60, False, weighed)


def test_an_even_pace_proves_nothing_to_the_contrary() -> None:
    """It counts the same whether it weighs or not; only a burst that it forgets at once proves something."""
    state = build({12.0: 80})
    tell(state, MOST - 60)
    state.now += 21 * INTERVAL
    state.used = {number: Stamp("me", True, state.now - number / 8) for number in range(160)}
    tell(state, MOST - 79)
    assert is_weighed(state)
    state.used = {number: Stamp("me", True, state.now - 12.0) for number in range(80)}
    tell(state, MOST)
    assert not is_weighed(state)
    assert state.proven


@pytest.mark.parametrize(
    ("ages", "leases", "kept", "room"),
    [
        pytest.param({}, 0, 5, 95, id="nothing is counted"),
        pytest.param({12.5: 80}, 10, 5, 25, id="60 may be, and 10 are out"),
        pytest.param({12.5: 80}, 40, 5, -5, id="more than is left"),
        pytest.param({12.5: 80}, 0, 0, 40, id="for people"),
    ],
)
def test_leases_are_given_out_for_what_it_cannot_count(
    ages: dict[float, int], leases: int, kept: int, room: int
) -> None:
    """Whatever remained by the last response: that was then."""
    state = build(ages)
    state.weighed_at, state.remaining, state.remaining_at = NOW, 0, NOW
    state.leases = {1000 + number: Lease("me", True, NOW) for number in range(leases)}
    assert measure_room(state, kept, bulk=True) == room


def ask(
    state: BudgetState, later: float, member: str, *, bulk: int = 0, interactive: int = 0
) -> tuple[BudgetState, Grant]:
    """An exchange, so many seconds after the last one."""
    now = state.raw + later
    limits = Limits(max_requests=MOST, interval=INTERVAL, interactive_reserve=0)
    report = Report(member=member, limits=limits, wall=now, bulk=bulk, interactive=interactive)
    return exchange(state, Reading("", b"", now, "a", 1e6 + now), report)


def begin(ages: dict[float, int]) -> BudgetState:
    """At a moment at which the server is known to weigh, and nobody waits."""
    state = build({})
    state.raw, state.weighed_at, state.members = NOW, NOW, {}
    state.used = build(ages).used
    return state


@pytest.mark.parametrize("members", [2, 4, 16])
def test_who_asks_before_its_turn_does_not_delay_the_others(members: int) -> None:
    """New calls and reports ask at once. Each turn followed all others, so two pushed each other on for ever."""
    state = begin({0.5: MOST})
    for number in range(40 * members):
        state, grant = ask(state, 0.01, f"m{number % members}", bulk=50)
        assert grant.next_in is not None
        assert grant.next_in <= 0.14 * math.sqrt(members) * INTERVAL + 1e-6


def test_people_do_not_take_turns_with_jobs() -> None:
    """A call that waits is asked for again as soon as with any other server."""
    state = begin({0.5: MOST})
    for number in range(8):
        state, _ = ask(state, 0.01, f"m{number}", bulk=50)
    state, grant = ask(state, 0.01, "desk", interactive=1)
    assert grant.next_in is not None
    assert grant.next_in <= 0.05 * INTERVAL * 9 / 4 + 0.1


def test_a_job_leaves_slots_to_people_who_wait() -> None:
    """Also if their number is above the reserve."""
    state = begin({0.5: MOST})
    state, _ = ask(state, 0.01, "desk", interactive=4)
    state.used = build({12.5: 120}).used  # so 90 may be counted: ten are free
    state, grant = ask(state, 0.01, "job", bulk=50)
    assert len(grant.bulk) == 6


def test_what_a_killed_process_may_have_sent_counts_for_two_intervals() -> None:
    """Its leases expire after `hold` and an interval; the server may count them until then in full."""
    state, grant = ask(begin({}), 0.1, "killed", bulk=80)
    assert len(grant.bulk) == 80
    state, grant = ask(state, 2.0 + INTERVAL + 0.1, "other", bulk=100)
    assert len(grant.bulk) <= 22
    state, grant = ask(state, INTERVAL, "other", bulk=100)
    assert len(grant.bulk) > 22
