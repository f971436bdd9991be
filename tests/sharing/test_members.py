"""Members: how long they are remembered, and what is promised to each."""

import pytest

from leadconnector_async._sharing.exchange import exchange
from leadconnector_async._sharing.members import excuse_silence, measure_held, promise, take_members
from leadconnector_async._sharing.slots import Tally
from leadconnector_async._sharing.state import PROMISE_SECONDS, BudgetState, Limits, Member, Report
from leadconnector_async._sharing.store import Reading

LIMITS = Limits(max_requests=100, interval=10.0)
NOW = 200.0


def build(**members: Member) -> BudgetState:
    state, _ = exchange(None, Reading("", None, 0.0, "a", 1e6), Report(member="me", limits=LIMITS, wall=0.0))
    state.now, state.members = NOW, members
    return state


def report(**told: object) -> Report:
    return Report(member="me", limits=LIMITS, wall=0.0, **told)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("others", "need", "share"),
    [
        ([], 200, 90),  # nine tenths
        ([], 7, 7),
        ([0], 200, 45),
        ([80], 200, 10),  # until the other one has been told
        ([95], 200, 0),
    ],
)
def test_a_share(others: list[int], need: int, share: int) -> None:
    """An even part of what is promised, as far as it is needed, and as others may not believe that it is theirs."""
    state = build(me=Member(NOW), **{f"m{index}": Member(NOW, one) for index, one in enumerate(others)})
    assert promise(state, report(need=need), Tally(), 5) == share
    assert state.members["me"].share == share


@pytest.mark.parametrize(
    ("bulk", "in_use", "mine", "interactive", "share"),
    [(0, 70, 0, 70, 30), (9, 70, 0, 0, 10), (9, 70, 25, 0, 35), (9, 85, 5, 15, 15), (9, 110, 25, 0, 25)],
)
def test_a_share_is_what_the_member_has_and_what_is_free(
    bulk: int, in_use: int, mine: int, interactive: int, share: int
) -> None:
    """Beside the shares of others; for a job that waits, beside what people leave of the reserve of 20 too."""
    state = build(me=Member(NOW), other=Member(NOW, 10))
    counts = Tally(in_use=in_use, bulk=in_use - interactive, by_member={"me": mine, "other": 10})
    assert promise(state, report(need=100, bulk=bulk), counts, 20) == share


def test_a_larger_share_counts_until_its_member_has_been_told() -> None:
    """It may be cut off now."""
    state = build(me=Member(NOW, 60))
    assert promise(state, report(need=5), Tally(), 5) == 5
    assert state.members["me"].share == 60


def test_what_is_kept_for_others() -> None:
    """Their shares, less the slots that they take; or only of those that want no bulk leases."""
    state = build(me=Member(NOW, 50), desk=Member(NOW, 20), job=Member(NOW, 30, 9), full=Member(NOW, 5))
    counts = Tally(by_member={"me": 1, "desk": 4, "full": 8})
    assert measure_held(state, counts, "me") == 16 + 30
    assert measure_held(state, counts, "me", claiming=False) == 16
    state.promised, state.returned = 40, 33
    assert measure_held(state, counts, "me") == 16 + 30 + 7


@pytest.mark.parametrize(("excused", "known"), [(0.0, {"me", "late"}), (0.2, {"me", "late", "silent"})])
def test_who_is_remembered(excused: float, known: set[str]) -> None:
    """Who came within a minute, less the time for which nobody could; and nobody who is known to have ended."""
    state = build(
        late=Member(NOW - PROMISE_SECONDS + 0.1, 1), silent=Member(NOW - PROMISE_SECONDS - 0.1, 1), dead=Member(NOW)
    )
    excuse_silence(state, excused)
    take_members(state, report(share=3, dead=["dead"]))
    assert set(state.members) == known
    assert state.members["me"] == Member(NOW, 3)


def test_calls_are_remembered_until_their_member_should_have_come() -> None:
    """Then nothing is kept for them."""
    state = build(soon=Member(NOW, 0, 1, 2, NOW + 0.1), late=Member(NOW, 0, 1, 2, NOW))
    take_members(state, report())
    assert [(one.bulk, one.interactive) for one in state.members.values()] == [(1, 2), (0, 0), (0, 0)]
