"""Real processes that book under one key: one of them books, whatever happens to it, and the others return that."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs

from leadconnector_async import LeadConnector, RateLimit, RetryPolicy, Shared, StoreUnavailableError, with_response
from leadconnector_async.sandbox import Limits, Sandbox

from ..servers import PostgresServer, StoreServer, ValkeyServer
from .once_campaign import Campaign, Worker, run_campaign
from .once_worker import Order, Outcome, make_appointment


async def migrate(url: str) -> None:
    shared = Shared(url)
    await shared.migrate()
    await shared.aclose()


@pytest.fixture
async def url(store_url: str) -> str:
    await migrate(store_url)
    return store_url


@asynccontextmanager
async def open_campaign(url: str) -> AsyncIterator[Campaign]:
    async with Sandbox(appointments=2, limits=Limits(max_requests=10_000, interval=1.0)) as sandbox:
        yield Campaign(sandbox, url, random.Random(1))


async def carry_out(*orders: Order) -> list[Outcome]:
    """Each in a process of its own, at once."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(start_worker()) for _ in orders]
        return await asyncio.gather(
            *(worker.carry_out(order) for worker, order in zip(workers, orders, strict=True))
        )


@asynccontextmanager
async def start_worker() -> AsyncIterator[Worker]:
    worker = await Worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


def count_sent(campaign: Campaign) -> int:
    return len(campaign.sandbox.requests.of("create_appointment"))


async def test_four_processes_with_sixteen_tasks_each_book_once(url: str) -> None:
    """All of them return that booking."""
    async with open_campaign(url) as campaign:
        booking = structs.replace(campaign.make_booking(), tasks=16)
        campaign.sandbox.faults.plan("create_appointment", ["stall 0.3"])
        outcomes = await carry_out(*[Order(booking)] * 4)
        (booked,) = campaign.list_booked(booking)
    assert [one.errors for one in outcomes] == [[]] * 4
    assert [one.ids for one in outcomes] == [[booked] * 16] * 4
    assert count_sent(campaign) == 1


async def test_two_keys_for_equal_bookings_book_twice(url: str) -> None:
    """On purpose, from two processes at once."""
    async with open_campaign(url) as campaign:
        booking = campaign.make_booking()
        one, two = await carry_out(Order(booking), Order(structs.replace(booking, once="another")))
        assert sorted(map(str, one.ids + two.ids)) == sorted(campaign.list_booked(booking))
    assert one.ids != two.ids


async def test_a_key_with_another_request_is_refused_in_other_processes_too(url: str) -> None:
    """Nothing of it is sent."""
    async with open_campaign(url) as campaign:
        booking = campaign.make_booking()
        await carry_out(Order(booking))
        (other,) = await carry_out(Order(structs.replace(booking, title="Other")))
    (error,) = other.errors
    assert error.startswith("KeyReusedError: once='order-1' was used for another request")
    assert count_sent(campaign) == 1


async def test_another_process_takes_over_after_a_kill(url: str, tmp_path: Path) -> None:
    """The booking of the killed process is found in the calendar, and returned."""
    async with open_campaign(url) as campaign, start_worker() as one, start_worker() as two:
        booking, booked = campaign.make_booking(), tmp_path / "booked"
        campaign.sandbox.faults.plan("create_appointment", ["stall 60"])
        killing = asyncio.create_task(one.carry_out(Order(booking, kill_when=str(booked))))
        await until(lambda: campaign.list_booked(booking))
        waiting = asyncio.create_task(two.carry_out(Order(booking)))
        booked.touch()
        killed, other = await killing, await waiting
    assert killed.ids == []
    assert (other.ids, other.reconciled, other.errors) == (campaign.list_booked(booking), 1, [])
    assert count_sent(campaign) == 1


async def test_a_process_that_was_frozen_before_it_sent_anything_sends_nothing(url: str, tmp_path: Path) -> None:
    """Another one has booked when it continues; it returns that booking."""
    approving, done = tmp_path / "approving", tmp_path / "done"
    async with open_campaign(url) as campaign, start_worker() as one, start_worker() as two:
        booking = campaign.make_booking()
        slow = structs.replace(booking, approving=str(approving), hold=0.5)
        order = Order(slow, freeze_when=str(approving), continue_when=str(done))
        freezing = asyncio.create_task(one.carry_out(order))
        await until(approving.exists)
        other = await two.carry_out(Order(booking))
        done.touch()
        frozen = await freezing
    assert [frozen.ids, other.ids] == [campaign.list_booked(booking)] * 2
    assert (frozen.errors, other.errors, other.reconciled) == ([], [], 0)
    assert count_sent(campaign) == 1


@asynccontextmanager
async def open_client(campaign: Campaign) -> AsyncIterator[LeadConnector]:
    """In this process."""
    sandbox = campaign.sandbox
    async with (
        Shared(campaign.store) as shared,
        LeadConnector(
            sandbox.token,
            base_url=sandbox.url,
            location_id=sandbox.location_id,
            shared=shared,
            rate_limit=RateLimit(interval=1.0),
            retry=RetryPolicy(backoff_base=0.01, apply_timeout=0.5),
        ) as client,
    ):
        yield client


async def test_what_another_process_has_in_progress_is_not_taken_for_its_own(url: str) -> None:
    """An equal booking of another key was lost; the one that the calendar shows belongs to the other process."""
    async with open_campaign(url) as campaign, open_client(campaign) as one, open_client(campaign) as two:
        booking = campaign.make_booking()
        campaign.sandbox.faults.plan("create_appointment", ["stall 1", "reset"])
        first = asyncio.create_task(one.create_appointment(make_appointment(booking), once="first"))
        await until(lambda: campaign.list_booked(booking))
        second = await with_response(two.create_appointment(make_appointment(booking), once="second"))
        booked = [(await first).id, second.value.id]
    assert sorted(map(str, booked)) == sorted(campaign.list_booked(booking))
    assert len(set(booked)) == 2
    assert not second.reconciled


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer])
async def test_without_its_store_nothing_is_sent(kind: type[StoreServer]) -> None:
    """The error says why; with the store back, the same key books."""
    with kind() as server:
        await migrate(server.url)
        async with open_campaign(server.url) as campaign, open_client(campaign) as client:
            booking = campaign.make_booking()
            server.kill()
            with pytest.raises(StoreUnavailableError, match="Nothing was sent, because only the store") as caught:
                await client.create_appointment(make_appointment(booking), once=booking.once)
            assert (caught.value.operation, caught.value.outcome) == ("create_appointment", "not_applied")
            assert count_sent(campaign) == 0
            server.start()
            booked = await client.create_appointment(make_appointment(booking), once=booking.once)
            assert campaign.list_booked(booking) == [booked.id]


async def test_a_store_that_is_lost_after_the_booking_does_not_hide_it(caplog: pytest.LogCaptureFixture) -> None:
    """The booking is returned with a warning; a later call finds it in the calendar."""
    with PostgresServer() as server:
        await migrate(server.url)
        async with open_campaign(server.url) as campaign, open_client(campaign) as client:
            booking = campaign.make_booking()
            campaign.sandbox.faults.plan("create_appointment", ["stall 1"])
            call = client.create_appointment(make_appointment(booking), once=booking.once)
            task = asyncio.create_task(call)
            await until(lambda: campaign.list_booked(booking))
            server.kill()
            booked = await task
            assert f"once='order-1' created {booked.id}, which could not be recorded" in caplog.text
            server.start()
            again = await client.create_appointment(make_appointment(booking), once=booking.once)
    assert again.id == booked.id
    assert count_sent(campaign) == 1


@pytest.mark.campaign
@pytest.mark.timeout(180)
async def test_a_booking_that_is_killed_again_and_again_is_made_once(url: str) -> None:
    """A few kills at random moments; `python -m tests.sharing.once_campaign` makes two hundred."""
    tally = await run_campaign(url, 12, seed=random.randrange(10**6))
    assert tally.kills >= 12
    assert tally.holds, tally
