"""What a call waits for and what it leaves behind when it fails, in virtual time."""

import asyncio
import gc

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    ConfigurationError,
    DeadlineExceededError,
    LeadConnectorError,
    NotFoundError,
    OutcomeUnknownError,
    RetryPolicy,
    ServerError,
    with_response,
)
from leadconnector_async.sandbox import Limits

from .virtual import run
from .world import World

UPDATE, GET = "update_appointment", "get_appointment"
CHANGE = AppointmentUpdate(title="changed")


def make_world(**faults: list[str]) -> World:
    world = World(Limits(max_requests=1000))
    for operation, planned in faults.items():
        world.sandbox.faults.plan(operation, planned)
    return world


def test_a_read_back_waits_as_its_own_answer_asks() -> None:
    """Not as the write's answer did, and not for nothing."""

    async def main() -> float:
        world = make_world(update_appointment=["lose-response"], get_appointment=["503 retry-after=7"])
        await world.connect().update_appointment(world.sandbox.appointment_ids[0], CHANGE)
        return asyncio.get_running_loop().time()

    assert 7.0 <= run(main()) < 10.0


def test_a_deadline_that_a_hint_would_pass_says_how_long_the_server_asked_to_wait() -> None:
    """The read back that hangs does not hide it."""

    async def main() -> None:
        world = make_world(update_appointment=["503 retry-after=60"], get_appointment=["stall 90"])
        client = world.connect(retry=RetryPolicy(deadline=5.0))
        with pytest.raises(DeadlineExceededError) as caught:
            await client.update_appointment(world.sandbox.appointment_ids[0], CHANGE)
        assert (caught.value.retry_after, caught.value.outcome) == (60.0, "unknown")

    run(main())


def test_a_hint_that_passes_the_deadline_fails_at_once() -> None:
    """And carries the hint, whatever is done about the doubt."""

    async def fail(on_ambiguous: str) -> LeadConnectorError:
        world = make_world(update_appointment=["503 retry-after=60"])
        policy = RetryPolicy(deadline=5.0, on_ambiguous=on_ambiguous)  # type: ignore[arg-type]
        with pytest.raises((ServerError, OutcomeUnknownError)) as caught:
            await world.connect(retry=policy).update_appointment(world.sandbox.appointment_ids[0], CHANGE)
        assert asyncio.get_running_loop().time() < 1.0
        return caught.value

    for on_ambiguous in ("reconcile", "retry", "raise"):
        error = run(fail(on_ambiguous))
        assert isinstance(error, ServerError | OutcomeUnknownError)
        assert error.retry_after == 60.0


def test_without_budget_a_doubt_is_said_once_and_at_once() -> None:
    """Nothing is read back, nothing is slept through."""

    async def main() -> None:
        world = make_world(update_appointment=["503"])
        client = world.connect(retry=RetryPolicy(backoff_base=1e-6))
        budget = client._shared.limiter.find_lane(client._location_id, asyncio.get_running_loop()).retry_budget
        while budget.spend(0.0):
            pass
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.update_appointment(world.sandbox.appointment_ids[0], CHANGE)
        assert str(caught.value).count("retry budget") == 1
        assert caught.value.attempts == len(world.sandbox.requests) == 1

    run(main())


@pytest.mark.parametrize("hint", ["Mon, 14 Sep 2026 12:00:00 +99999999999999999", "9" * 40, "-1", "\x00"])
def test_a_hint_that_nobody_can_mean_breaks_nothing(hint: str) -> None:
    """It is as if there were none, and the slot comes back."""

    async def main() -> None:
        world = World(Limits())
        world.sandbox.faults.plan(GET, ["503", "429"])
        receive = world.sandbox._app.receive

        def answer(*request: object) -> object:
            reply = receive(*request)  # type: ignore[arg-type]
            if reply.status != 200:
                reply.headers["retry-after"] = hint
            return reply

        world.sandbox._app.receive = answer  # type: ignore[method-assign, assignment]
        client = world.connect()
        reply = await with_response(client.get_appointment(world.sandbox.appointment_ids[0]))
        assert (reply.attempts, client.quota.in_flight) == (3, 0)

    run(main())


def test_a_client_that_is_closed_while_calls_wait_says_so() -> None:
    """In words of its own, and no slot is lost."""

    async def main() -> None:
        world = World(Limits(max_requests=1))
        client = world.connect()
        event_id = world.sandbox.appointment_ids[0]
        await client.get_appointment(event_id)
        waiting = asyncio.create_task(client.get_appointment(event_id))
        await asyncio.sleep(1)
        await client.aclose()
        with pytest.raises(ConfigurationError, match="closed"):
            await waiting
        assert client.quota.in_flight == 0

    run(main())


def test_failures_leave_nothing_for_the_collector() -> None:
    """Neither an error nor the machinery of a repetition outlives its last user."""

    async def main() -> int:
        world = World(Limits(max_requests=1000))
        client = world.connect()
        world.sandbox.faults.plan(GET, ["404", "503", "ok", *["404"] * 40, *["503", "ok"] * 6])

        async def call() -> None:
            try:
                await client.get_appointment(world.sandbox.appointment_ids[0])
            except NotFoundError:
                return

        for _ in range(2):
            await call()
        gc.collect()
        gc.disable()
        for _ in range(46):
            await call()
        found = gc.collect()
        gc.enable()
        assert world.sandbox.faults.unused() == {}
        return found

    assert run(main()) == 0
