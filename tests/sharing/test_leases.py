"""What a process holds, and what it may send while the store is away, by a clock in a variable."""

import random

import pytest

from leadconnector_async._sharing.leases import Leases
from leadconnector_async._sharing.state import PROMISE_SECONDS, Grant, Limits, Use

LIMITS = Limits(max_requests=100, interval=10.0, hold=2.0)
BEGAN, ENDED = 10.0, 10.3
AWAY = BEGAN + 12.0
"""When its share may be used: hold and an interval after the last exchange began."""


def grant(**told: object) -> Grant:
    told = {"max_requests": 100, "interval": 10.0, "clock": 0.0, **told}
    return Grant(epoch="e", server="s", **told)  # type: ignore[arg-type]


def hold(**told: object) -> Leases:
    """After one exchange."""
    leases = Leases("A", LIMITS, random.Random(1))
    leases.accept(leases.write_report(BEGAN, 0.0, bulk=9, interactive=9), grant(**told), BEGAN, ENDED)
    return leases


def lose_store(leases: Leases, at: float) -> Leases:
    leases.contact.fail(at, at)
    return leases


def test_a_lease_lasts_from_before_its_exchange() -> None:
    """Four fifths of hold, counted from the beginning of the reading."""
    leases = hold(bulk=[1, 2])
    assert leases.take(11.59, bulk=True) == 1
    assert leases.find_end(1) == pytest.approx(11.6)
    assert leases.take(11.6, bulk=True) is None


def test_people_may_use_the_lease_of_a_job_and_not_the_other_way_round() -> None:
    """Their own first."""
    leases = hold(bulk=[1], interactive=[2])
    assert [leases.take(10.5, bulk=False) for _ in range(3)] == [2, 1, None]
    assert hold(interactive=[2]).take(10.5, bulk=True) is None


def test_a_report_says_what_became_of_each_lease() -> None:
    """Held, in flight, or used so many seconds ago; one that was given back unused is in none of them."""
    leases = hold(interactive=[1, 2, 3, 4])
    for number in (1, 2, 3):
        assert leases.take(10.4, bulk=False) == number
    leases.finish(1, 10.6)
    leases.give_back(3)
    report = leases.write_report(11.0, 0.0)
    assert (report.held, report.in_flight, report.used) == ([4], [2], [Use(1, pytest.approx(0.4), False)])
    leases.give_back(2, 11.0)
    assert leases.take(11.0, bulk=False) == 2


@pytest.mark.parametrize(
    ("now", "sent", "bulk", "allowed"),
    [
        (AWAY - 0.1, 0, False, 0),
        (AWAY, 0, False, 10),
        (AWAY, 0, True, 8),  # of 100, 20 are the reserve
        (AWAY, 3, False, 7),
    ],
)
def test_the_share_may_be_sent_once_all_leases_are_free_again(
    now: float, sent: int, bulk: bool, allowed: int
) -> None:
    """Less what the server still counts, and bulk calls leave a part of the reserve."""
    leases = lose_store(hold(share=10, promised=10, reserve=20, interactive=list(range(sent))), 10.5)
    for number in range(sent):
        assert leases.take(11.0, bulk=False) == number
        leases.finish(number, now - 5.0)
    leases.contact.retry_at = now
    taken = [leases.take(now, bulk=bulk) for _ in range(20)]
    assert sum(number is not None for number in taken) == allowed


def test_a_share_that_is_not_kept_any_more_is_not_used() -> None:
    """An exchange was due long before the store was lost: a quarter of the even part is used instead."""
    failed = BEGAN + PROMISE_SECONDS
    leases = lose_store(hold(share=30, promised=90, members=2), failed)
    leases.contact.retry_at = failed + 12.0
    assert leases.contact.count_share(failed + 11.9, bulk=False) == 0
    assert leases.contact.count_share(failed + 12.0, bulk=False) == 12


@pytest.mark.parametrize(
    ("share", "promised", "told", "left"),
    [(30, 90, 50, 15), (30, 90, 1, 0), (30, 30, 1, 1), (30, 90, 200, 30), (30, 90, 100, 30)],
)
def test_a_share_falls_with_the_limit_and_does_not_rise(share: int, promised: int, told: int, left: int) -> None:
    """It is the same part of a limit that a response stated since; a process that is alone keeps one request."""
    leases = lose_store(hold(share=share, promised=promised), 10.5)
    leases.contact.learn(told)
    leases.contact.retry_at = AWAY
    assert leases.contact.count_share(AWAY, bulk=False) == left
    leases.contact.succeed(grant(share=40, promised=90), AWAY, AWAY)
    leases.contact.fail(AWAY, AWAY)
    leases.contact.retry_at = AWAY + 12.0
    assert leases.contact.count_share(AWAY + 12.0, bulk=False) == 40


def test_what_the_share_sent_during_an_exchange_is_taken_from_its_grant() -> None:
    """The store did not know of it: of three leases, one is gone."""
    leases = lose_store(hold(share=10, promised=10), 10.5)
    leases.contact.retry_at = AWAY
    report = leases.write_report(AWAY, 0.0, interactive=9)
    assert leases.take(AWAY, bulk=False) is not None
    leases.accept(report, grant(interactive=[7, 8, 9]), AWAY, AWAY + 0.1)
    assert [leases.take(AWAY + 0.2, bulk=False) for _ in range(3)] == [8, 9, None]


def test_the_next_exchange_is_due_when_something_is_to_be_said() -> None:
    """For calls that wait, when the grant says; for uses, a quarter of an interval later, or at once."""
    assert hold().find_due(10.4) is None
    waiting = hold(next_in=3.0)
    assert waiting.find_due(10.4, bulk=1) == pytest.approx(ENDED + 3.0)
    assert waiting.find_due(10.4, interactive=10) == pytest.approx(ENDED + 0.02)
    leases = hold(interactive=[1])
    leases.take(10.4, bulk=False)
    assert leases.find_due(10.4) == pytest.approx(BEGAN + 6.0)
    leases.finish(1, 10.6)
    assert leases.find_due(10.7) == pytest.approx(10.6 + 2.5)
    leases = hold(interactive=[1], probing=True)
    leases.take(10.4, bulk=False)
    leases.finish(1, 10.6)
    assert leases.find_due(10.7) == pytest.approx(10.6 + 0.1)


def test_an_exchange_that_failed_during_a_long_stop_says_nothing_about_now() -> None:
    """Frozen during an exchange: the store may be back, and may have forgotten the share. It is tried first."""
    leases = lose_store(hold(share=10), AWAY)
    assert leases.take(AWAY, bulk=False) is not None
    stopped, awake = AWAY + 1.0, AWAY + 12.0
    leases.contact.fail(stopped, awake)
    assert leases.take(awake, bulk=False) is None
    due = leases.find_due(awake, interactive=1)
    assert due is not None
    assert due <= awake
    leases.contact.fail(awake, awake + 0.5)
    assert leases.take(awake + 0.5, bulk=False) is not None
