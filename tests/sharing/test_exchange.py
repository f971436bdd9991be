"""One exchange after the other on a small limit, by exact clocks: ten requests in four seconds, two for people."""

import pytest
from msgspec import structs

from leadconnector_async._sharing.exchange import exchange
from leadconnector_async._sharing.state import BudgetState, Grant, Limits, Report, Use, decode, encode
from leadconnector_async._sharing.store import Reading

LIMITS = Limits(max_requests=10, interval=4.0, interactive_reserve=2, hold=2.0)
LEASED = 8
"""By a job, at 0 s."""


def come(content: bytes | None, at: float, member: str, **told: object) -> tuple[bytes, Grant]:
    report = structs.replace(Report(member=member, limits=LIMITS, wall=at), **told)
    state, grant = exchange(decode(content), Reading("", content, at, "a", 1e6), report)
    return encode(state), grant


def lease() -> tuple[bytes, list[int]]:
    content, grant = come(None, 0.0, "job", bulk=20)
    assert len(grant.bulk) == LEASED
    return content, grant.bulk


def read(content: bytes) -> BudgetState:
    state = decode(content)
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("at", "what", "free_at"),
    [
        (1.0, "nothing is held any more", 1.0),
        (1.0, "used", 4.5),
        (3.0, "in flight", 9.0),
        (3.0, "held", 6.0),
        (0.0, "killed", 6.0),
    ],
)
def test_when_slots_are_free(at: float, what: str, free_at: float) -> None:
    """T after the response; hold and T after the grant, or after the last report of a request in flight."""
    content, numbers = lease()
    told: dict[str, object] = {
        "used": {"used": [Use(number, 0.5, True) for number in numbers]},
        "in flight": {"in_flight": numbers},
        "held": {"held": numbers},
    }.get(what, {})
    if what != "killed":
        content, _ = come(content, at, "job", **told)
    for when, many in ((free_at - 0.01, 10 - LEASED), (free_at + 0.01, 10)):
        if when >= at:
            assert len(come(content, when, "desk", interactive=10)[1].interactive) == many


def test_unmet_interactive_calls_are_deducted_from_what_bulk_calls_get() -> None:
    """Of four slots that are given back, three are kept for people who wait, until they should have come."""
    content, numbers = lease()
    content, grant = come(content, 0.5, "desk", interactive=5)
    assert len(grant.interactive) == 2
    content, grant = come(content, 0.6, "job", held=numbers[:4], bulk=4)
    assert len(grant.bulk) == 1
    content, grant = come(content, 3.0, "job", held=[*numbers[:4], *grant.bulk], bulk=4)
    assert len(grant.bulk) == 3


def test_shares_are_kept_free_for_others_and_not_for_oneself() -> None:
    """A desk that wants four requests in an interval keeps four, whoever else asks."""
    content, desk = come(None, 0.0, "desk", need=4)
    assert desk.share == 4
    content, _ = come(content, 0.1, "desk", need=4, share=4)
    assert len(come(content, 0.2, "other", interactive=10)[1].interactive) == 6
    assert len(come(content, 0.2, "other", bulk=10)[1].bulk) == 4  # the reserve too
    assert len(come(content, 0.2, "desk", interactive=10, share=4)[1].interactive) == 10


def test_when_to_ask_again() -> None:
    """Bulk calls when their member's own slots are free; people soon, at each moment."""
    content, numbers = lease()
    content, _ = come(content, 1.0, "job", used=[Use(number, 0.5, True) for number in numbers])
    _, grant = come(content, 3.0, "job", bulk=1)
    assert grant.next_in == pytest.approx(1.5, abs=0.02)
    _, grant = come(content, 1.0, "job", bulk=1)
    assert grant.next_in == pytest.approx(3.5, abs=0.02)
    _, grant = come(content, 3.0, "desk", interactive=3)
    assert grant.next_in == pytest.approx(0.2, abs=0.02)
    assert come(content, 3.0, "desk", interactive=2)[1].next_in is None


def test_nothing_is_granted_in_a_pause() -> None:
    """All know how long it lasts; it is never shortened."""
    content, _ = come(None, 0.0, "job", pause_seconds=3.0)
    content, _ = come(content, 1.0, "job", pause_seconds=1.0)
    content, grant = come(content, 2.9, "desk", interactive=1)
    assert grant.interactive == []
    assert grant.pause_seconds == pytest.approx(0.1)
    assert len(come(content, 3.0, "desk", interactive=1)[1].interactive) == 1


def test_a_member_that_leaves_is_none() -> None:
    """Its share is free at once."""
    content, _ = come(None, 0.0, "desk", need=4)
    content, grant = come(content, 0.1, "desk", need=4, share=4, leaving=True)
    assert (grant.share, read(content).members) == (0, {})


@pytest.mark.parametrize("dead", [["other"], []])
def test_the_share_of_a_killed_member_is_back_after_hold_and_an_interval(dead: list[str]) -> None:
    """All that jobs may have, once somebody knows that it has ended; one that may be cut off keeps its share."""
    content, other = come(None, 0.0, "other", need=4, bulk=4)
    assert len(other.bulk) == 4
    content, other = come(content, 0.1, "other", need=4, held=other.bulk, share=other.share)
    before = come(content, 0.2, "job", bulk=20, dead=dead)[1]
    after = come(content, 6.2, "job", bulk=20, dead=dead)[1]
    assert len(before.bulk) <= LEASED - 4
    assert (len(after.bulk) == LEASED) == bool(dead)
