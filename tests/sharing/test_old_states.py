"""States that are older than what was granted: from a replica that lagged behind, or a copy that was put back."""

import math
from collections.abc import Callable

import pytest

from leadconnector_async._sharing.exchange import exchange
from leadconnector_async._sharing.state import BudgetState, Grant, Limits, Report, Sighting, decode, encode
from leadconnector_async._sharing.store import Reading

LIMITS = Limits(max_requests=10, interval=4.0, hold=2.0)
WAIT = LIMITS.hold + LIMITS.interval


def ask(
    content: bytes | None,
    at: float,
    member: str,
    wanted: int = 10,
    *,
    last: tuple[Grant, float] | None = None,
    server: str = "a",
    uptime: float = 1e6,
    away: float = 0.0,
) -> tuple[BudgetState, Grant]:
    """One exchange, by exact clocks."""
    sighting = None
    if last is not None:
        grant, then = last
        sighting = Sighting(grant.epoch, grant.server, grant.clock, at - then, at - then)
    report = Report(
        member=member, limits=LIMITS, wall=at, sighting=sighting, interactive=wanted, need=wanted, away=away
    )
    return exchange(decode(content), Reading("", content, at, server, uptime), report)


def lose_a_grant() -> tuple[bytes, Grant]:
    """All slots were granted to A at 1 s; the state that is left is from before."""
    state, first = ask(None, 0.0, "A", 0)
    old = encode(state)
    _, granted = ask(old, 1.0, "A", last=(first, 0.0))
    assert len(granted.interactive) == 10
    return old, granted


def test_a_replica_that_lagged_behind_grants_nothing_at_first() -> None:
    """It has run for long, which says nothing of what the other server granted until it ended."""
    old, _ = lose_a_grant()
    state, grant = ask(old, 1.5, "B", server="replica")
    assert grant.interactive == []
    state, grant = ask(encode(state), 1.0 + WAIT - 1.1, "B", last=(grant, 1.5), server="replica")
    assert grant.interactive == []
    _, grant = ask(encode(state), 1.0 + 2 * WAIT, "B", last=(grant, 1.0 + WAIT - 1.1), server="replica")
    assert len(grant.interactive) == 10


@pytest.mark.parametrize("server", ["a", "replica"])
def test_a_state_that_is_older_than_a_member_remembers_grants_nothing_at_first(server: str) -> None:
    """Also long after the state was written, and if the server has kept its name."""
    old, granted = lose_a_grant()
    _, later = ask(old, 100.0, "A", last=(granted, 1.0), server=server)
    assert later.interactive == []
    assert later.recovering_seconds == pytest.approx(WAIT)


def test_numbers_of_a_lost_grant_are_not_given_out_again() -> None:
    """Or the report of one lease would free another."""
    old, granted = lose_a_grant()
    state, later = ask(old, 1.5, "A", last=(granted, 1.0))
    _, again = ask(encode(state), 20.0, "A", last=(later, 1.5))
    assert len(again.interactive) == 10
    assert not {*later.interactive, *again.interactive} & {*granted.interactive}


def test_a_server_that_was_restarted_long_ago_does_not_wait() -> None:
    """Nobody has used it for hours: the first call of the morning goes at once."""
    state, _ = ask(None, 0.0, "A", 0)
    _, grant = ask(encode(state), 30_000.0, "B", server="restarted", uptime=20_000.0)
    assert len(grant.interactive) == 10


def test_a_restarted_server_waits_if_it_was_out_of_reach() -> None:
    """Members whose shares it has forgotten may use them until they return, however long ago it was started."""
    state, _ = ask(None, 0.0, "A", 0)
    state, grant = ask(encode(state), 100.0, "B", server="restarted", uptime=50.0, away=0.5)
    assert grant.interactive == []
    wait = LIMITS.hold + LIMITS.interval
    assert ask(encode(state), 99.9 + wait, "B", server="restarted")[1].interactive == []
    assert ask(encode(state), 100.1 + wait, "B", server="restarted")[1].interactive


def test_time_out_of_reach_does_not_count_as_waiting_for_those_who_know_more() -> None:
    """The server restarts with an old state, one member reaches it, and it is out of reach again for a while."""
    state, _ = ask(None, 0.0, "A", 0)
    state, _ = ask(encode(state), 100.0, "A", server="restarted", uptime=0.0)
    state, grant = ask(encode(state), 150.0, "B", server="restarted", uptime=50.0, away=49.0)
    assert grant.interactive == []
    _, grant = ask(encode(state), 150.0 + LIMITS.hold + LIMITS.interval, "B", server="restarted", uptime=90.0)
    assert grant.interactive


@pytest.mark.parametrize("found", ["epoch", "server"])
def test_a_state_that_something_else_has_changed_is_begun_anew(found: str) -> None:
    """It would keep all processes from the store otherwise, until somebody removes it."""
    state, _ = ask(None, 0.0, "A", 0)
    value = getattr(state, found).encode()
    content = encode(state)
    assert decode(content) is not None
    assert decode(content.replace(value, b"\xff" * len(value))) is None


@pytest.mark.parametrize("moment", [math.nan, math.inf, 1e18])
@pytest.mark.parametrize(
    "field",
    [
        "now",
        "clock",
        "raw",
        "wall",
        "closed_until",
        "pause_until",
        "promised_until",
        "limit_stated_at",
        "remaining_at",
    ],
)
def test_a_moment_that_never_comes_does_not_stop_a_location(field: str, moment: float) -> None:
    """Something else has written it: the state is begun anew, and no process waits for that moment."""
    state, _ = ask(None, 0.0, "A", 0)
    assert decode(encode(state)) is not None
    setattr(state, field, moment)
    is_possible = field in ("now", "clock", "raw", "wall") and moment == 1e18
    assert (decode(encode(state)) is not None) == is_possible


def test_no_lease_no_member_and_no_limit_is_impossible() -> None:
    """As above, for what a state holds of each."""
    ways: list[Callable[[BudgetState], object]] = [
        lambda state: setattr(state.leases[min(state.leases)], "at", math.nan),
        lambda state: setattr(state.members["A"], "seen", math.inf),
        lambda state: setattr(state.members["A"], "wanted_until", 1e18),
        lambda state: setattr(state.day, "reset_at", 1e18),
        lambda state: setattr(state.day, "probe_at", math.nan),
        lambda state: setattr(state, "max_requests", 0),
        lambda state: setattr(state, "interval", 0.0),
        lambda state: setattr(state, "hold", math.nan),
        lambda state: setattr(state, "returned", -1),
    ]
    for change in ways:
        state, _ = ask(None, 0.0, "A", 5)
        assert decode(encode(state)) is not None
        change(state)
        assert decode(encode(state)) is None
