"""`once=`: a key creates one appointment, whatever happens, in one process and in its copies of the client."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import TypeVar, cast

import pytest
from msgspec import structs

from leadconnector_async import (
    AppointmentCreate,
    BlockSlotCreate,
    ConfigurationError,
    DeadlineExceededError,
    InvalidEventError,
    InvalidRequestError,
    KeyReusedError,
    LeadConnector,
    LeadConnectorError,
    NotApprovedError,
    OutcomeUnknownError,
    PendingWrite,
    PermissionDeniedError,
    ReadOnlyError,
    RetryPolicy,
    SlotUnavailableError,
    StoreUnavailableError,
    with_response,
)
from leadconnector_async._call.fence import FencedTransport
from leadconnector_async._client.once import KeyedCalls
from leadconnector_async._sharing.keys import MemoryKeys
from leadconnector_async._sharing.once import (
    LEASE_SECONDS,
    Busy,
    HeldKey,
    KeyLedger,
    KeyNames,
    Known,
    Reused,
    Rivals,
)
from leadconnector_async.events import Event, RequestFailed, RequestSent
from leadconnector_async.sandbox import Sandbox

from .conftest import MakeClient
from .simulation.world import join

T = TypeVar("T")
NINE = datetime(2027, 6, 7, 13, tzinfo=UTC)
QUICK = RetryPolicy(backoff_base=0.001, backoff_cap=0.002, apply_timeout=0.3)
ONCE = RetryPolicy(on_ambiguous="raise", apply_timeout=0.3)


@pytest.fixture
def client(make_client: MakeClient) -> LeadConnector:
    return make_client(retry=QUICK)


def make_booking(sandbox: Sandbox, title: str = "Check-up", start: datetime = NINE) -> AppointmentCreate:
    known = sandbox.appointment(sandbox.appointment_ids[0])
    return AppointmentCreate(
        calendar_id=known.calendar_id,
        contact_id=known.contact_id,
        assigned_user_id=known.assigned_user_id,
        title=title,
        start_time=start,
        ignore_free_slot_validation=True,
    )


def count(sandbox: Sandbox, operation: str = "create_appointment") -> int:
    return len(sandbox.requests.of(operation))


def list_booked(sandbox: Sandbox) -> list[str]:
    return [one.id for one in sandbox.store if one.start_time == NINE]


async def test_the_same_key_returns_the_same_appointment(client: LeadConnector, sandbox: Sandbox) -> None:
    """As it is now; other keys, and calls without one, book again."""
    booking = make_booking(sandbox)
    first = await client.create_appointment(booking, once="order-1")
    sandbox.store.edit(first.id or "", {"title": "Moved"})
    again = await client.create_appointment(booking, once="order-1")
    assert (again.id, again.title) == (first.id, "Moved")
    assert count(sandbox) == 1
    await client.create_appointment(booking, once="order-2")
    await client.create_appointment(booking)
    assert len(list_booked(sandbox)) == 3


async def test_sixteen_tasks_with_one_key_book_once(client: LeadConnector, sandbox: Sandbox) -> None:
    """The others wait for the first one."""
    sandbox.faults.plan("create_appointment", ["stall 0.1"])
    booking = make_booking(sandbox)
    booked = await asyncio.gather(*(client.create_appointment(booking, once="order") for _ in range(16)))
    assert {one.id for one in booked} == set(list_booked(sandbox))
    assert count(sandbox) == 1


async def test_copies_of_a_client_know_its_keys(client: LeadConnector, sandbox: Sandbox) -> None:
    """Those for other locations have keys of their own."""
    booking = make_booking(sandbox)
    await client.create_appointment(booking, once="order")
    await client.with_options(priority="bulk").create_appointment(booking, once="order")
    await client.for_location(sandbox.location_id, sandbox.token).create_appointment(booking, once="order")
    assert count(sandbox) == 1
    with pytest.raises(PermissionDeniedError):  # it is sent
        await client.for_location("other", sandbox.token).create_appointment(booking, once="order")


async def test_a_key_with_another_request_is_refused(client: LeadConnector, sandbox: Sandbox) -> None:
    """Before anything is sent, naming the key and nothing of the request."""
    await client.create_appointment(make_booking(sandbox), once="order")
    with pytest.raises(KeyReusedError) as caught:
        await client.create_appointment(make_booking(sandbox, "Other"), once="order")
    assert str(caught.value) == (
        "once='order' was used for another request within the last day; use another key. Nothing was sent."
    )
    assert (caught.value.field, caught.value.outcome) == ("once", "not_applied")
    assert isinstance(caught.value, ValueError)
    assert count(sandbox) == 1


@pytest.mark.parametrize("key", ["", "  ", "a\nb", "x" * 201, 4711])
async def test_a_key_that_cannot_be_one_is_refused(client: LeadConnector, sandbox: Sandbox, key: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidRequestError, match="once"):
        await client.create_appointment(make_booking(sandbox), once=key)
    assert count(sandbox) == 0


async def test_a_refused_booking_frees_its_key(client: LeadConnector, sandbox: Sandbox) -> None:
    """Nothing was created, so the key may be used for another time."""
    taken = sandbox.appointment(sandbox.appointment_ids[0])
    refused = AppointmentCreate(
        calendar_id=taken.calendar_id,
        contact_id=taken.contact_id,
        assigned_user_id=taken.assigned_user_id,
        title="Check-up",
        start_time=taken.start_time,
    )
    with pytest.raises(SlotUnavailableError):
        await client.create_appointment(refused, once="order")
    booked = await client.create_appointment(make_booking(sandbox), once="order")
    assert list_booked(sandbox) == [booked.id]


async def test_a_lost_response_is_found_by_the_next_call(make_client: MakeClient, sandbox: Sandbox) -> None:
    """With the same key: the calendar shows what the first one has created."""
    client = make_client(retry=ONCE)
    sandbox.faults.plan("create_appointment", ["lose-response"])
    booking = make_booking(sandbox)
    with pytest.raises(OutcomeUnknownError):
        await client.create_appointment(booking, once="order")
    found = await with_response(client.create_appointment(booking, once="order"))
    assert found.reconciled
    assert [found.value.id] == list_booked(sandbox)
    again = await client.create_appointment(booking, once="order")
    assert again.id == found.value.id
    assert count(sandbox) == 1


async def test_a_lost_request_is_sent_again_by_the_next_call(make_client: MakeClient, sandbox: Sandbox) -> None:
    """Once the server can no longer be at work on it."""
    client = make_client(retry=ONCE)
    sandbox.faults.plan("create_appointment", ["reset"])
    booking = make_booking(sandbox)
    with pytest.raises(OutcomeUnknownError):
        await client.create_appointment(booking, once="order")
    booked = await with_response(client.create_appointment(booking, once="order"))
    assert not booked.reconciled
    assert list_booked(sandbox) == [booked.value.id]
    assert count(sandbox) == 2


async def test_a_lost_response_is_reconciled_within_the_call_too(client: LeadConnector, sandbox: Sandbox) -> None:
    """As without a key; what was found is recorded."""
    sandbox.faults.plan("create_appointment", ["lose-response"])
    booking = make_booking(sandbox)
    found = await with_response(client.create_appointment(booking, once="order"))
    assert found.reconciled
    assert (await client.create_appointment(booking, once="order")).id == found.value.id
    assert count(sandbox) == 1


async def test_a_booking_of_another_key_is_not_taken_for_its_own(make_client: MakeClient, sandbox: Sandbox) -> None:
    """Two equal bookings are wanted; the request of the first one was lost, so only the other's is there."""
    client, booking = make_client(retry=ONCE), make_booking(sandbox)
    sandbox.faults.plan("create_appointment", ["reset"])
    with pytest.raises(OutcomeUnknownError):
        await client.create_appointment(booking, once="one")
    two = await client.create_appointment(booking, once="two")
    one = await with_response(client.create_appointment(booking, once="one"))
    assert not one.reconciled
    assert sorted([one.value.id or "", two.id or ""]) == sorted(list_booked(sandbox))


async def test_what_two_keys_have_left_open_is_not_told_apart(make_client: MakeClient, sandbox: Sandbox) -> None:
    """Either may have created the only appointment that is there."""
    client, booking = make_client(retry=ONCE), make_booking(sandbox)
    sandbox.faults.plan("create_appointment", ["reset", "lose-response"])
    for key in ("one", "two"):
        with pytest.raises(OutcomeUnknownError):
            await client.create_appointment(booking, once=key)
    with pytest.raises(OutcomeUnknownError, match="Read the candidates") as caught:
        await client.create_appointment(booking, once="one")
    assert list(caught.value.candidates) == list_booked(sandbox)
    assert count(sandbox) == 2


async def test_a_call_that_waits_for_another_keeps_its_deadline(client: LeadConnector, sandbox: Sandbox) -> None:
    """It has sent nothing, and says so."""
    sandbox.faults.plan("create_appointment", ["stall 0.4"])
    booking = make_booking(sandbox)
    first = asyncio.create_task(client.create_appointment(booking, once="order"))
    await asyncio.sleep(0.1)
    hasty = client.with_options(retry=RetryPolicy(deadline=0.05))
    with pytest.raises(DeadlineExceededError, match="another call with once='order' was in progress") as caught:
        await hasty.create_appointment(booking, once="order")
    assert caught.value.outcome == "not_applied"
    assert [(await first).id] == list_booked(sandbox)


async def test_a_deadline_that_passes_while_the_calendar_is_searched_leaves_it_open(
    make_client: MakeClient, sandbox: Sandbox
) -> None:
    """The earlier call may have booked; a later call with the same key finds out."""
    client, booking = make_client(retry=ONCE), make_booking(sandbox)
    sandbox.faults.plan("create_appointment", ["reset"])
    with pytest.raises(OutcomeUnknownError):
        await client.create_appointment(booking, once="order")
    hasty = client.with_options(retry=RetryPolicy(deadline=0.1, apply_timeout=30))
    with pytest.raises(DeadlineExceededError, match="what an earlier call with once='order' had created") as caught:
        await hasty.create_appointment(booking, once="order")
    assert caught.value.outcome == "unknown"
    await client.create_appointment(booking, once="order")
    assert len(list_booked(sandbox)) == 1


@pytest.mark.parametrize("after", [0.0, 0.05, 0.15])
async def test_a_cancelled_call_leaves_its_key_to_the_next_one(
    client: LeadConnector, sandbox: Sandbox, after: float
) -> None:
    """Whether it has sent its request or not: one booking."""
    booking = make_booking(sandbox)
    sandbox.faults.plan("create_appointment", ["stall 0.3"])
    task = asyncio.create_task(client.create_appointment(booking, once="order"))
    await asyncio.sleep(after)
    task.cancel()
    await asyncio.wait([task])
    booked = await client.create_appointment(booking, once="order")
    assert list_booked(sandbox) == [booked.id]


async def test_what_is_not_approved_frees_its_key(make_client: MakeClient, sandbox: Sandbox) -> None:
    """Approval is asked for before the first request, and not for what was booked already."""
    answers = [False, True]

    async def approve(pending: PendingWrite) -> bool:
        return answers.pop(0)

    client, booking = make_client(approve=approve), make_booking(sandbox)
    with pytest.raises(NotApprovedError):
        await client.create_appointment(booking, once="order")
    booked = await client.create_appointment(booking, once="order")
    assert (await client.create_appointment(booking, once="order")).id == booked.id
    with pytest.raises(ReadOnlyError):
        await client.with_options(access="read").create_appointment(booking, once="order")


async def test_block_slots_and_notes_are_created_once_too(client: LeadConnector, sandbox: Sandbox) -> None:
    """They are found again where they were created; what was deleted since is said to be gone."""
    known = sandbox.appointment(sandbox.appointment_ids[0])
    block = BlockSlotCreate(
        calendar_id=known.calendar_id, title="Lunch", start_time=NINE, end_time=NINE.replace(hour=14)
    )
    event_id = sandbox.appointment_ids[0]

    async def create_note() -> object:
        return (await client.create_note(event_id, "Called", once="call-1")).id

    async def create_block() -> object:
        return (await client.create_block_slot(block, once="lunch")).id

    creations: list[Callable[[], Awaitable[object]]] = [create_note, create_block]
    for create in creations:
        assert await create() == await create()
    assert (count(sandbox, "create_note"), count(sandbox, "create_block_slot")) == (1, 1)
    await client.delete_note(event_id, str(await create_note()))
    with pytest.raises(InvalidEventError, match="is no longer listed") as caught:
        await create_note()
    assert caught.value.outcome == "applied"


async def test_what_is_known_of_a_key_is_not_logged(
    client: LeadConnector, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing goes wrong here, so nothing is said."""
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            await client.create_appointment(make_booking(sandbox), once="order")
    assert not caplog.records


class SpyingLedger(KeyLedger):
    """Keys in memory, whose leases end by a clock of the test's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(MemoryKeys(clock), clock)
        self.names = KeyNames("", "", "")

    async def claim(self, names: KeyNames) -> HeldKey | Known | Busy | Reused:
        self.names = names
        return await super().claim(names)


@pytest.mark.parametrize("taken", [False, True])
async def test_a_process_that_is_frozen_right_before_it_sends_sends_nothing(
    make_client: MakeClient, sandbox: Sandbox, taken: bool
) -> None:
    """Its lease is checked once more at the socket; then it asks the store who has the key now."""
    now, failed = [100.0], list[RequestFailed]()
    ledger = SpyingLedger(lambda: now[0])
    known = sandbox.appointment_ids[0]

    def freeze(event: Event) -> None:
        if isinstance(event, RequestFailed):
            failed.append(event)
        if isinstance(event, RequestSent) and now[0] == 100.0:
            now[0] += LEASE_SECONDS
            if taken:
                other = run_at_once(ledger.claim(ledger.names))
                assert isinstance(other, HeldKey)
                run_at_once(other.record(known))

    client = make_client(retry=QUICK, on_event=freeze)
    transport = client._shared.transport
    join(client, transport=FencedTransport(transport._base, None, transport._route, lambda: now[0]))
    client._keyed[None] = KeyedCalls(ledger, "pit")
    booked = await client.create_appointment(make_booking(sandbox), once="order")
    assert [(one.operation, one.sent) for one in failed] == [("create_appointment", False)]
    assert list_booked(sandbox) == ([] if taken else [booked.id])
    assert count(sandbox) == (0 if taken else 1)
    assert (booked.id == known) is taken


def run_at_once(work: Coroutine[object, object, T]) -> T:
    """Run what does not wait."""
    try:
        work.send(None)
    except StopIteration as ended:
        return cast("T", ended.value)
    raise AssertionError("it waits")


@pytest.mark.parametrize("kind", [StoreUnavailableError, ConfigurationError])
async def test_a_store_that_is_lost_while_a_found_booking_is_checked_gives_no_key_back(
    kind: type[LeadConnectorError], client: LeadConnector, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The booking was sent and its response lost: the next call with the key finds it, and books nothing."""
    list_rivals, failures = KeyLedger.list_rivals, [kind("nobody listens")]

    async def fail_once(self: KeyLedger, names: KeyNames) -> Rivals:
        if failures:
            raise failures.pop()
        return await list_rivals(self, names)

    monkeypatch.setattr(KeyLedger, "list_rivals", fail_once)
    sandbox.faults.plan("create_appointment", ["lose-response"])
    booking = make_booking(sandbox)
    with pytest.raises(kind) as caught:
        await client.create_appointment(booking, once="order")
    assert caught.value.outcome == "unknown"
    again = await client.create_appointment(booking, once="order")
    assert [again.id] == list_booked(sandbox)
    assert count(sandbox) == 1


@pytest.mark.parametrize("refusal", [StoreUnavailableError("nobody listens"), Busy()])
async def test_what_was_sent_is_not_forgotten_while_its_key_is_taken_again(
    refusal: StoreUnavailableError | Busy,
    make_client: MakeClient,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was found may be of another key; then the store is lost, or the key is in use until the deadline."""
    claim, claims = KeyLedger.claim, list[KeyNames]()

    async def find_another(self: KeyLedger, names: KeyNames) -> Rivals:
        return Rivals(is_open=True)

    async def claim_once(self: KeyLedger, names: KeyNames) -> HeldKey | Known | Busy | Reused:
        claims.append(names)
        if len(claims) == 1:
            return await claim(self, names)
        if isinstance(refusal, Busy):
            return refusal
        raise refusal

    client, booking = make_client(retry=structs.replace(QUICK, deadline=0.5)), make_booking(sandbox)
    with monkeypatch.context() as patch:
        patch.setattr(KeyLedger, "claim", claim_once)
        patch.setattr(KeyLedger, "list_rivals", find_another)
        sandbox.faults.plan("create_appointment", ["lose-response"])
        with pytest.raises(OutcomeUnknownError, match="call again with the same key") as caught:
            await client.create_appointment(booking, once="order")
    assert (caught.value.outcome, caught.value.operation) == ("unknown", "create_appointment")
    assert "Nothing was sent" not in str(caught.value)
    again = await client.create_appointment(booking, once="order")
    assert [again.id] == list_booked(sandbox)
    assert count(sandbox) == 1


@pytest.mark.parametrize("failure", [StoreUnavailableError("away"), RuntimeError("no thread"), MemoryError()])
async def test_what_was_created_is_returned_whatever_becomes_of_its_key(
    failure: Exception, client: LeadConnector, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be recorded; the next call with the key finds it."""

    async def fail(self: HeldKey, result: str) -> bool:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(HeldKey, "record", fail)
        created = await client.create_appointment(make_booking(sandbox), once="order")
    assert [created.id] == list_booked(sandbox)
