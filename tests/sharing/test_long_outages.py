"""Stores that are out of reach for longer than a share is kept for a silent member."""

import asyncio

import pytest

from leadconnector_async._sharing.exchange import exchange
from leadconnector_async._sharing.state import PROMISE_SECONDS, Grant, Limits, Report, decode, encode
from leadconnector_async._sharing.store import Reading
from leadconnector_async.sandbox import Limits as Counted

from ..simulation.virtual import run
from ..simulation.world import PATIENT, World
from .shared_world import MemoryStore, Process

LIMITS = Limits(max_requests=10, interval=4.0, hold=2.0)


def exchange_once(
    content: bytes | None, at: float, member: str, wanted: int = 0, **told: float
) -> tuple[bytes, Grant]:
    report = Report(member=member, limits=LIMITS, wall=at, interactive=wanted, need=9, **told)  # type: ignore[arg-type]
    state, grant = exchange(decode(content), Reading("", content, at, "a", 1e6), report)
    return encode(state), grant


@pytest.mark.parametrize("away", [0.0, 99.0])
def test_the_silence_of_all_ends_no_share(away: float) -> None:
    """If the store was out of reach, the others use their shares; if not, who was silent for a minute has ended."""
    content, other = exchange_once(None, 0.0, "B")
    assert other.share == 9
    content, _ = exchange_once(content, 0.1, "B", share=other.share)
    _, grant = exchange_once(content, 100.0, "A", 10, away=away)
    assert len(grant.interactive) == (10 - other.share if away else 10)


@pytest.mark.parametrize("away", [0.0, 0.5])
def test_an_empty_store_that_was_out_of_reach_grants_nothing_until_others_have_returned(away: float) -> None:
    """Shares may be in use that it has forgotten. One that was always within reach has never granted any."""
    content, first = exchange_once(None, 0.0, "A", 10, away=away)
    assert len(first.interactive) == (0 if away else 10)
    assert len(exchange_once(content, 5.9, "A", 10)[1].interactive) == (0 if away else 10)
    assert len(exchange_once(content, 6.1, "A", 10)[1].interactive) == 10


def test_a_store_that_returns_after_minutes_grants_nobody_the_shares_of_others() -> None:
    """The first to return must leave to the others what they have used in the meantime."""

    async def play() -> None:
        world, store = World(Counted(max_requests=20, interval=10.0)), MemoryStore()
        processes = [Process(world, store, retry=PATIENT) for _ in range(3)]
        identifier = world.sandbox.appointment_ids[0]
        calls = [
            asyncio.create_task(one.client.get_appointment(identifier)) for _ in range(200) for one in processes
        ]
        await asyncio.sleep(30)
        store.is_down = True
        await asyncio.sleep(PROMISE_SECONDS + 40)
        store.is_down = False
        await asyncio.gather(*calls)
        assert world.sandbox.requests.count_statuses()[429] == 0

    run(play())
