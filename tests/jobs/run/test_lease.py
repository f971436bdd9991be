"""The lease of a process: each line of the tables in `jobs/run/lease.py`."""

import math

import pytest

from leadconnector_async.jobs.journal.leases import Beat
from leadconnector_async.jobs.run.lease import (
    Beaten,
    HeldLocation,
    Lease,
    LeaseAction,
    LeaseEvent,
    Missed,
    Woke,
    begin_lease,
    next_step,
    observe,
)

L = 8.0
ME = 7


def begin(*, beating: bool = False, lost: bool = False) -> Lease:
    """Registered at 100: held until 107.2, a beat is due at 102."""
    lease = begin_lease(ME, L, 100.0)
    lease.beating, lease.lost = beating, lost
    return lease


@pytest.mark.parametrize(
    ("lease", "event", "action", "until"),
    [
        (begin(), Woke(101.9), "wait", 107.2),
        (begin(), Woke(102.0), "beat", 107.2),
        (begin(beating=True), Woke(102.0), "wait", 107.2),
        (begin(), Woke(107.2), "lost", -math.inf),
        (begin(beating=True), Woke(107.2), "lost", -math.inf),
        (begin(beating=True), Beaten(found=True, sent_at=102.0, now=103.0), "wait", 109.2),
        (begin(beating=True), Beaten(found=True, sent_at=102.0, now=108.0), "wait", 109.2),
        (begin(beating=True), Beaten(found=True, sent_at=102.0, now=109.2), "lost", -math.inf),
        (begin(beating=True), Beaten(found=False, sent_at=102.0, now=102.1), "lost", -math.inf),
        (begin(beating=True), Missed(), "wait", 107.2),
        (begin(lost=True), Woke(100.1), "lost", -math.inf),
        (begin(beating=True, lost=True), Beaten(found=True, sent_at=102.0, now=102.1), "lost", -math.inf),
        (begin(lost=True), Missed(), "lost", -math.inf),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Woke | Beaten | Missed) else None,
)
def test_each_transition(lease: Lease, event: LeaseEvent, action: LeaseAction, until: float) -> None:
    """What follows, and until when locations may be written to after it."""
    assert next_step(lease, event) == action
    assert lease.until() == pytest.approx(until)


def test_a_lease_counts_from_before_the_beat() -> None:
    """The database may have counted the beat at once, so others count from then on, however late the answer is."""
    lease = begin()
    assert next_step(lease, Woke(105.0)) == "beat"
    assert lease.sent_at == 105.0
    next_step(lease, Beaten(found=True, sent_at=105.0, now=107.0))
    assert lease.until() == pytest.approx(105.0 + 0.9 * L)


def test_one_beat_at_a_time_a_quarter_of_a_lease_apart() -> None:
    """A beat that hangs is not followed by others; after a failed one the next is due as usual."""
    lease = begin()
    assert lease.wakes_at == 102.0
    assert next_step(lease, Woke(102.0)) == "beat"
    assert lease.wakes_at == lease.until()
    assert next_step(lease, Woke(106.0)) == "wait"
    next_step(lease, Missed())
    assert next_step(lease, Woke(106.0)) == "beat"


def test_others_are_buried_after_one_lease_without_a_beat() -> None:
    """Counted from when this process saw the last beat, by its own clock; never its own row."""
    lease = begin()
    mine, other = Beat(ME, 1, L), Beat(8, 4, L)
    assert observe(lease, [mine, other], 200.0) == []
    assert observe(lease, [mine, other], 207.9) == []
    assert observe(lease, [mine, other], 208.0) == [other]
    assert observe(lease, [mine, other], 300.0) == [other], "until its row is gone"


def test_a_beat_postpones_a_burial() -> None:
    """Any change counts, as the number may be anything."""
    lease = begin()
    observe(lease, [Beat(8, 4, L)], 200.0)
    observe(lease, [Beat(8, 5, L)], 207.0)
    assert observe(lease, [Beat(8, 5, L)], 214.9) == []
    assert observe(lease, [Beat(8, 5, L)], 215.0) == [Beat(8, 5, L)]


def test_each_worker_has_the_lease_that_it_has_chosen() -> None:
    """One with a long lease is not buried after the short one of another."""
    lease = begin()
    long, short = Beat(8, 1, 30.0), Beat(9, 1, 2.0)
    observe(lease, [long, short], 200.0)
    assert observe(lease, [long, short], 210.0) == [short]
    assert observe(lease, [long, short], 230.0) == [long, short]


def test_who_has_left_is_forgotten() -> None:
    """Nothing is kept of a worker whose row is gone."""
    lease = begin()
    observe(lease, [Beat(8, 4, L), Beat(9, 1, L)], 200.0)
    observe(lease, [Beat(9, 1, L)], 201.0)
    assert list(lease.sightings) == [9]


def test_a_new_registration_keeps_what_was_seen_of_others() -> None:
    """A process that was lost need not wait another lease until it buries the dead."""
    lost = begin(lost=True)
    observe(lost, [Beat(8, 4, L)], 200.0)
    again = begin_lease(9, L, 205.0, lost.sightings)
    assert observe(again, [Beat(8, 4, L)], 208.0) == [Beat(8, 4, L)]


def test_one_location_can_be_lost_by_itself() -> None:
    """If a commit shows that somebody has taken it, nothing more is sent there; the others stay held."""
    lease = begin()
    first, second = (HeldLocation(job=1, location=one, epoch=3, lease=lease) for one in ("loc1", "loc2"))
    first.lost = True
    assert (first.until(), second.until()) == (-math.inf, lease.until())
    next_step(lease, Woke(200.0))
    assert second.until() == -math.inf
