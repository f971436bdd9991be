"""The known ways to get a shared budget wrong: each is put in, and the schedules of its kind must catch it."""

from collections.abc import Callable

import pytest

from leadconnector_async._sharing import exchange, leases, slots
from leadconnector_async._sharing.leases import Contact
from leadconnector_async._sharing.state import BudgetState, Report, Stamp
from leadconnector_async._sharing.store import Reading

from .sharing.schedules import KINDS, play

Mistake = Callable[[pytest.MonkeyPatch], None]


def put_in_stamping_when_leased(patch: pytest.MonkeyPatch) -> None:
    """The server counts a request after the lease was given out, and as late as its response."""
    take = exchange.take_slots

    def stamp(state: BudgetState, report: Report) -> None:
        leased = {number: lease.at for number, lease in state.leases.items()}
        take(state, report)
        for number, at in leased.items():
            if number in state.used:
                state.used[number] = Stamp(report.member, state.used[number].bulk, at)

    patch.setattr(exchange, "take_slots", stamp)


def put_in_no_fence(patch: pytest.MonkeyPatch) -> None:
    """A lease that has run out is sent all the same: its slot was given to somebody else."""
    patch.setattr(leases, "_FENCE", 1e6)


def put_in_the_clock_of_the_store(patch: pytest.MonkeyPatch) -> None:
    """A clock that is set forward frees slots early."""

    def advance(state: BudgetState, reading: Reading, report: Report) -> None:
        passed = reading.now - state.raw
        state.now += passed
        state.clock += passed
        state.raw, state.wall = reading.now, report.wall

    patch.setattr(exchange, "advance", advance)


def put_in_leases_freed_after_hold(patch: pytest.MonkeyPatch) -> None:
    """One that was sent and not reported, because its holder was killed, still counts at the server."""

    def free(state: BudgetState) -> None:
        state.leases = {
            number: lease for number, lease in state.leases.items() if lease.at + state.hold > state.now
        }

    patch.setattr(exchange, "free_slots", free)


def put_in_leases_lost_at_a_kill(patch: pytest.MonkeyPatch) -> None:
    """A slot that is never freed unless it is reported is lost with its holder."""
    patch.setattr(exchange, "free_slots", lambda _state: None)


def put_in_trust_in_a_restarted_store(patch: pytest.MonkeyPatch) -> None:
    """An empty state, or an old one, grants what others still hold."""
    patch.setattr(exchange, "_notice_forgetting", lambda state, _report: setattr(state, "closed_until", 0.0))


def put_in_promises_of_more_than_the_limit(patch: pytest.MonkeyPatch) -> None:
    """Each is told the even share at once, before the others were told of a smaller one."""

    def promise(state: BudgetState, report: Report, _counts: slots.Tally, _reserve: int) -> int:
        share = -(-state.max_requests // len(state.members))
        state.members[report.member].share = share
        return share

    patch.setattr(exchange, "promise", promise)


def put_in_shares_that_are_not_kept_free(patch: pytest.MonkeyPatch) -> None:
    """The store lives and gives away what a member that is cut off sends."""
    patch.setattr(exchange, "measure_held", lambda *_arguments, **_options: 0)


def put_in_a_share_used_at_once(patch: pytest.MonkeyPatch) -> None:
    """A member that does not wait for `hold` and an interval sends beside leases that still count."""

    def count_share(contact: Contact, _now: float, *, bulk: bool) -> int:
        return 0 if contact.failed_since is None or contact.grant is None else contact.grant.share

    patch.setattr(Contact, "count_share", count_share)


def put_in_a_share_of_the_old_limit(patch: pytest.MonkeyPatch) -> None:
    """A member that is cut off does not hear from the store of a lower limit, but from responses."""
    patch.setattr(Contact, "learn", lambda *_arguments: None)


def put_in_no_reserve(patch: pytest.MonkeyPatch) -> None:
    """Bulk calls take all there is, but say that they left something."""
    grant = exchange._grant

    def take_all(
        state: BudgetState, report: Report, counts: slots.Tally, _reserve: int, *, bulk: bool
    ) -> list[int]:
        return grant(state, report, counts, 0, bulk=bulk)

    patch.setattr(exchange, "_grant", take_all)


def put_in_silence_about_flights(patch: pytest.MonkeyPatch) -> None:
    """A request in flight for longer than `hold` and an interval is taken for one that was never sent."""
    take = exchange.take_slots

    def forget(state: BudgetState, report: Report) -> None:
        flights = {number: state.leases[number].at for number in report.in_flight if number in state.leases}
        take(state, report)
        for number, at in flights.items():
            state.leases[number].at = at

    patch.setattr(exchange, "take_slots", forget)


MISTAKES: list[tuple[Mistake, str, str]] = [
    (put_in_stamping_when_leased, "calm", "in one interval"),
    (put_in_no_fence, "freezes", "in one interval"),
    (put_in_the_clock_of_the_store, "clock", "in one interval"),
    (put_in_leases_freed_after_hold, "kills", "in one interval"),
    (put_in_leases_lost_at_a_kill, "kills", "came back"),
    (put_in_trust_in_a_restarted_store, "store", "in one interval"),
    (put_in_promises_of_more_than_the_limit, "store", "in one interval"),
    (put_in_shares_that_are_not_kept_free, "cut", "in one interval"),
    (put_in_a_share_used_at_once, "all", "in one interval"),
    (put_in_a_share_of_the_old_limit, "all", "in one interval"),
    (put_in_no_reserve, "calm", "took the reserve"),
    (put_in_silence_about_flights, "slow", "in one interval"),
]

FIRST: dict[Mistake, int] = {put_in_a_share_of_the_old_limit: 1150}
"""The first schedule of its kind to play: about one in 200 cuts off a member that is then told of a lower limit."""


@pytest.mark.parametrize(("mistake", "kind", "law"), MISTAKES, ids=lambda one: getattr(one, "__name__", None))
def test_each_mistake_is_caught(monkeypatch: pytest.MonkeyPatch, mistake: Mistake, kind: str, law: str) -> None:
    """With the mistake in it, a schedule of that kind breaks that law."""
    mistake(monkeypatch)
    first = FIRST.get(mistake, 0) * len(KINDS) + KINDS.index(kind)
    for number in range(first, first + 400 * len(KINDS), len(KINDS)):
        if any(law in one for one in play(number).broken):
            return
    pytest.fail("not caught")
