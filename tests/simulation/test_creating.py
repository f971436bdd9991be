"""Creations whose responses get lost: each exists exactly once, or the call says that it does not know."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from leadconnector_async import (
    Appointment,
    AppointmentCreate,
    DeadlineExceededError,
    LeadConnector,
    OutcomeUnknownError,
    Response,
    RetryPolicy,
    Timeouts,
    with_response,
)
from leadconnector_async._api.created import Ambiguous, NotFound
from leadconnector_async._api.creations import build_create_appointment
from leadconnector_async.sandbox import Limits, Quirks

from .creating import Campaign, run
from .world import World

START = datetime(2027, 6, 7, 13, tzinfo=UTC)
CREATE, LIST = "create_appointment", "list_events"


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(3))
def test_everything_wanted_exists_exactly_once(seed: int) -> None:
    """A tenth of `python -m tests.simulation.creating`: no wrong claim, and no doubt unsaid."""
    ended = run(Campaign(1000, seed=seed).run())
    assert ended.faults > 40
    assert ended.reconciled > 15
    assert ended.older > 50
    assert (ended.unsaid, ended.missing, ended.too_many, ended.wrong, ended.refused) == (0, 0, 0, 0, 0)
    assert ended.unknown < ended.faults / 10


def make_world(*faults: str, listing: tuple[str, ...] = ()) -> World:
    world = World(Limits(max_requests=1000), appointments=4)
    world.sandbox.faults.plan(CREATE, faults)
    world.sandbox.faults.plan(LIST, listing)
    return world


def make_booking(world: World, **changes: object) -> AppointmentCreate:
    event = world.sandbox.appointment(world.sandbox.appointment_ids[0])
    fields = {"calendar_id": event.calendar_id, "contact_id": event.contact_id, "start_time": START, **changes}
    return AppointmentCreate(**fields)  # type: ignore[arg-type]


def list_ids(world: World) -> list[str]:
    """What was booked for that time."""
    return [event.id for event in world.sandbox.store if event.start_time == START]


async def create(world: World, client: LeadConnector, **changes: object) -> Response[Appointment]:
    return await with_response(client.create_appointment(make_booking(world, **changes)))


@pytest.mark.parametrize("late", [0.5, 5.0, 20.0, 29.0])
def test_what_is_applied_late_is_waited_for(late: float) -> None:
    """The calendar is listed again until the server cannot be at work any more; nothing is sent twice."""

    async def main() -> None:
        world = make_world(f"late {late}")
        created = await create(world, world.connect())
        assert created.reconciled
        assert [created.value.id] == list_ids(world)
        assert len(world.sandbox.requests.of(CREATE)) == 1

    run(main())


def test_what_the_calendar_does_not_show_is_sent_again_only_then() -> None:
    """`RetryPolicy.apply_timeout` after the response was lost."""

    async def main() -> None:
        world = make_world("reset")
        created = await create(world, world.connect(retry=RetryPolicy(apply_timeout=45.0)))
        first, second = world.sandbox.requests.of(CREATE)
        assert 45.0 <= second.at - first.at < 50.0
        assert [created.value.id] == list_ids(world)
        assert not created.reconciled

    run(main())


def test_an_error_of_the_servers_own_is_waited_for_a_moment_only() -> None:
    """It has responded, so it is done; what it has applied may be missing from a list for a moment."""

    async def main() -> None:
        world = make_world("503")
        await create(world, world.connect())
        first, second = world.sandbox.requests.of(CREATE)
        assert 2.0 <= second.at - first.at < 4.0

    run(main())


def test_two_that_look_the_same_become_two() -> None:
    """Whatever happens to the response of each, and although both begin at once."""

    async def main(*faults: str) -> None:
        world = make_world(*faults)
        client = world.connect()
        both = await asyncio.gather(create(world, client), create(world, client.with_options(app_info="other")))
        assert len({one.value.id for one in both}) == 2
        assert {one.value.id for one in both} == set(list_ids(world))

    for first in ("ok", "lose-response", "reset", "late 3", "503", "half-body"):
        for second in ("ok", "lose-response", "reset", "503-after-apply"):
            run(main(first, second))


@pytest.mark.parametrize("fault", ["reset", "lose-response"])
@pytest.mark.parametrize("age", [2.0, 9.0, 13.0, 60.0, 3600.0])
def test_an_older_one_is_never_taken_for_ours(fault: str, age: float) -> None:
    """Somebody else has booked the same before: the call has its own, or says that it does not know.

    In doubt are ten seconds, and the fraction that a `Date` leaves out.
    """

    async def main() -> None:
        world = make_world("ok", fault)
        older = (await create(world, world.connect())).value.id
        await asyncio.sleep(age)
        if age < 10 and fault == "reset":
            with pytest.raises(OutcomeUnknownError) as caught:
                await create(world, world.connect())
            assert caught.value.candidates == (older,)
            return
        created = await create(world, world.connect())
        assert {older, created.value.id} == set(list_ids(world))
        assert created.value.id != older

    run(main())


def test_what_a_client_has_made_itself_is_never_taken_for_another_call() -> None:
    """However soon the next call follows: its ids are remembered."""

    async def main() -> None:
        world = make_world("ok", "reset", "lose-response")
        client = world.connect()
        ids = [(await create(world, client)).value.id for _ in range(3)]
        assert len(set(ids)) == 3
        assert set(ids) == set(list_ids(world))

    run(main())


def test_what_a_call_has_left_unknown_is_not_claimed_by_the_next() -> None:
    """It may be applied at any moment, so what appears then may be the work of either."""

    async def main() -> None:
        world = make_world("late 4", "reset")
        client = world.connect(retry=RetryPolicy(deadline=2.0))
        with pytest.raises((OutcomeUnknownError, DeadlineExceededError)) as caught:
            await create(world, client)
        assert caught.value.outcome == "unknown"
        patient = client.with_options(retry=RetryPolicy())
        with pytest.raises(OutcomeUnknownError, match="may be what was created") as unknown:
            await create(world, patient)
        assert list(unknown.value.candidates) == list_ids(world)
        assert len(world.sandbox.requests.of(CREATE)) == 2

    run(main())


def test_what_was_made_without_its_id_being_shown_is_not_claimed_by_the_next() -> None:
    """A successful response can be empty: the next call cannot tell whose the one in the calendar is."""

    async def main() -> None:
        world = make_world("ok", "reset")
        client = world.connect()
        world.sandbox.quirks = Quirks(empty_response=True)
        assert (await create(world, client)).value.id is None
        with pytest.raises(OutcomeUnknownError) as unknown:
            await create(world, client)
        assert list(unknown.value.candidates) == list_ids(world)

    run(main())


def test_one_that_was_changed_since_is_named_and_not_claimed() -> None:
    """An automation has renamed it, or the contact has two: sending it again could book twice."""

    async def main() -> None:
        world = make_world("lose-response")
        client = world.connect()
        call = asyncio.create_task(create(world, client, title="First visit"))
        while not list_ids(world):
            await asyncio.sleep(0.001)
        (event_id,) = list_ids(world)
        world.sandbox.edit_appointment(event_id, title="Renamed")
        with pytest.raises(OutcomeUnknownError) as caught:
            await call
        assert caught.value.candidates == (event_id,)
        assert "Renamed" not in str(caught.value)
        assert len(world.sandbox.requests.of(CREATE)) == 1

    run(main())


def test_a_calendar_that_cannot_be_read_leaves_it_open() -> None:
    """Nothing is sent again, and the error says why."""

    async def main() -> None:
        world = make_world("lose-response", listing=("422",))
        with pytest.raises(OutcomeUnknownError, match="Reading the calendar failed") as caught:
            await create(world, world.connect())
        assert (caught.value.attempts, caught.value.candidates) == (2, ())
        assert len(list_ids(world)) == 1

    run(main())


def test_a_deadline_bounds_the_search() -> None:
    """A look that would come too late is not waited for."""

    async def main() -> None:
        world = make_world("reset")
        loop = asyncio.get_running_loop()
        with pytest.raises(OutcomeUnknownError, match="deadline") as caught:
            await create(world, world.connect(retry=RetryPolicy(deadline=8.0)))
        assert loop.time() < 8.0
        assert caught.value.outcome == "unknown"

    run(main())


def test_a_deadline_bounds_the_wait_for_one_that_looks_the_same() -> None:
    """The second is not sent."""

    async def main() -> None:
        world = make_world("stall 20")
        client = world.connect()
        first = asyncio.create_task(create(world, client))
        await asyncio.sleep(0.01)
        with pytest.raises(DeadlineExceededError, match="looks the same") as caught:
            await create(world, client.with_options(retry=RetryPolicy(deadline=3.0)))
        assert (caught.value.outcome, len(world.sandbox.requests)) == ("not_applied", 1)
        await first

    run(main())


@pytest.mark.parametrize("on_ambiguous", ["reconcile", "retry", "raise"])
def test_the_policy_decides(on_ambiguous: str) -> None:
    """A creation is never sent again blindly: with `retry` it is looked for as well."""

    async def main() -> None:
        world = make_world("lose-response")
        client = world.connect(retry=RetryPolicy(on_ambiguous=on_ambiguous))  # type: ignore[arg-type]
        if on_ambiguous == "raise":
            with pytest.raises(OutcomeUnknownError):
                await create(world, client)
        else:
            assert (await create(world, client)).reconciled
        assert len(list_ids(world)) == len(world.sandbox.requests.of(CREATE)) == 1

    run(main())


def test_a_slow_response_is_found_by_its_time() -> None:
    """The attempt is given up, the creation was applied at its beginning: half a minute before it is looked for."""

    async def main() -> None:
        world = make_world("stall 300", "ok")
        created = await create(world, world.connect(timeouts=Timeouts(total=20.0)))
        assert created.reconciled
        assert [created.value.id] == list_ids(world)

    run(main())


def test_remembered_creations_are_forgotten() -> None:
    """A client that books for months holds those of minutes only."""

    async def main() -> None:
        world = make_world()
        client = world.connect()
        for minutes in range(100):
            await create(world, client, start_time=START + timedelta(minutes=15 * minutes))
            await asyncio.sleep(10)
        assert len(client._shared.creations) < 20

    run(main())


def test_another_process_can_ask_what_a_call_has_made() -> None:
    """By the same request and the time at which it was sent: for a call that did not survive its process."""

    async def main() -> None:
        world = make_world("ok", "ok")
        request = build_create_appointment(make_booking(world), "", world.sandbox.location_id)
        now = datetime.now(UTC)
        pipeline = world.connect()._pipeline
        assert await pipeline.find_created(request, now) == NotFound()
        older = (await create(world, world.connect())).value.id
        assert older is not None
        await asyncio.sleep(60)
        assert await pipeline.find_created(request, now) == NotFound()
        ours = (await create(world, world.connect())).value.id
        found = await pipeline.find_created(request, now - timedelta(seconds=1))
        assert isinstance(found, Response)
        assert (found.value.id, found.reconciled) == (ours, True)
        both = await pipeline.find_created(request, now - timedelta(seconds=90))
        assert both == Ambiguous((str(older), str(ours)))
        found = await pipeline.find_created(request, now - timedelta(seconds=90), {older})
        assert isinstance(found, Response)
        assert found.value.id == ours

    run(main())
