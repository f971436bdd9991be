"""State time: it follows the store's clock, and never runs ahead of the true time."""

import random

from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async._sharing.clock import advance
from leadconnector_async._sharing.exchange import exchange
from leadconnector_async._sharing.state import BudgetState, Limits, Report, Sighting
from leadconnector_async._sharing.store import Reading

LIMITS = Limits(10, 10.0)
FIRST = 1000.0


def begin() -> BudgetState:
    return exchange(None, Reading("", None, FIRST, "s", 1e6), Report(member="a", limits=LIMITS, wall=50.0))[0]


def read(state: BudgetState, raw: float, *, wall: float = 50.0, sighting: Sighting | None = None) -> float:
    advance(
        state, Reading("1", None, raw, "s", 1e6), Report(member="a", limits=LIMITS, wall=wall, sighting=sighting)
    )
    return state.now


def see(state: BudgetState, clock: float, elapsed: float) -> Sighting:
    return Sighting(state.epoch, "s", clock, elapsed, elapsed)


def test_time_follows_the_store() -> None:
    """Two seconds by the store are two seconds, for members that know and for those that are new."""
    state = begin()
    assert read(state, FIRST + 2, sighting=see(state, 0.0, 2.0)) == 2.0
    assert read(state, FIRST + 5, wall=53.01) == 5.0


def test_a_forward_jump_does_not_count() -> None:
    """An hour by the store, of which a member saw three seconds, is three seconds."""
    state = begin()
    assert read(state, FIRST + 3600, sighting=see(state, 0.0, 3.0)) == 3.0


def test_a_backward_jump_stops_time_once() -> None:
    """Then it goes on, and does not catch up."""
    state = begin()
    assert read(state, FIRST - 100, sighting=see(state, 0.0, 3.0)) == 0.0
    assert read(state, FIRST - 98, sighting=see(state, 0.0, 5.0)) == 2.0


def test_a_clock_that_is_set_back_and_forth_wins_no_time() -> None:
    """The example of the module: the second that was lost is not made up for."""
    state = begin()
    assert read(state, FIRST - 4, wall=51.0) == 0.0
    assert read(state, FIRST + 2, sighting=see(state, 0.0, 2.0)) == 1.0


def test_a_new_member_is_not_believed_if_its_clocks_disagree() -> None:
    """The store's clock went on by an hour, its wall clock by a second."""
    state = begin()
    assert read(state, FIRST + 3600, wall=51.0) == 0.0


@given(st.integers(0, 2**32))
def test_time_never_runs_ahead_of_true_time(seed: int) -> None:
    """Members that know, and new ones, and a clock that jumps at random: no span is longer than it was.

    Between two jumps all members come once.
    """
    dice = random.Random(seed)
    state, true, offset = begin(), 0.0, FIRST
    seen: dict[int, tuple[float, float]] = {0: (0.0, 0.0)}
    times = [(0.0, 0.0)]
    missing: set[int] = set()
    for _ in range(60):
        true += dice.choice([0.01, 0.5, 3.0])
        if not missing and dice.random() < 0.3:
            offset += dice.choice([-1, 1]) * dice.choice([0.3, 2.0, 3600.0])
            missing = {0, 1, 2, 3}
        member = dice.randint(0, 3)
        missing.discard(member)
        sighting = None
        if member in seen:
            clock, when = seen[member]
            sighting = see(state, clock, true - when)
        now = read(state, true + offset, wall=50.0 + true, sighting=sighting)
        seen[member] = state.clock, true
        times.append((true, now))
    for index, (true_before, before) in enumerate(times):
        for true_after, after in times[index:]:
            assert after - before <= true_after - true_before + 1e-6


def test_members_agree_again_after_a_jump() -> None:
    """Each loses a moment once; then time goes on as before."""
    state, true, offset, seen = begin(), 0.0, FIRST, {}
    for turn in range(40):
        true += 1.0
        offset += 5.0 if turn in (10, 12) else 0.0
        member = turn % 4
        sighting = see(state, seen[member][0], true - seen[member][1]) if member in seen else None
        before = state.now
        now = read(state, true + offset, wall=50.0 + true, sighting=sighting)
        seen[member] = state.clock, true
        assert now - before == (1.0 if turn < 10 or turn >= 16 else now - before)
    assert state.now >= 40 - 6
