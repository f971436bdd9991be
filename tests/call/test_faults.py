"""What else can go wrong on the way, on real sockets, beside the rows of the conformance table."""

import asyncio

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    DailyLimitError,
    DeadlineExceededError,
    Event,
    LeadConnector,
    LeadConnectorError,
    OutcomeUnknownError,
    RetryPolicy,
    ServerError,
    with_response,
)
from leadconnector_async._call import attempt
from leadconnector_async.events import Reconciled, ResponseReceived, Retrying
from leadconnector_async.sandbox import Limits, Sandbox

from ..conftest import QUICK, MakeClient

UPDATE, GET = "update_appointment", "get_appointment"


async def test_a_slot_that_the_call_itself_has_taken_is_no_refusal(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """The lost request arrives after all, late; the repetition collides with it: read back, it is applied."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    start, end = (moment.replace(hour=moment.hour + 5) for moment in (event.start_time, event.end_time))
    story: list[bool] = []

    def arrive_late(happened: Event) -> None:
        if isinstance(happened, Reconciled):
            story.append(happened.applied)
            sandbox.edit_appointment(event.id, start_time=start, end_time=end)

    sandbox.faults.plan(UPDATE, ["reset"])
    client = make_client(on_event=arrive_late)
    answer = await with_response(
        client.update_appointment(event.id, AppointmentUpdate(start_time=start, end_time=end))
    )
    assert (answer.reconciled, answer.attempts, story) == (True, 4, [False, True])
    assert sandbox.requests.count_statuses() == {None: 1, 200: 2, 400: 1}


async def test_what_shows_nothing_of_what_was_sent_cannot_be_reconciled(
    sandbox: Sandbox, client: LeadConnector
) -> None:
    """A switch leaves no trace in the event: the error says so, and nothing is sent again."""
    sandbox.faults.plan(UPDATE, ["lose-response"])
    with pytest.raises(OutcomeUnknownError, match="does not show") as caught:
        await client.update_appointment(sandbox.appointment_ids[0], AppointmentUpdate(to_notify=False))
    assert (caught.value.attempts, caught.value.outcome) == (2, "unknown")


async def test_reading_back_fetches_a_new_token_where_the_old_one_has_expired(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """The read is a call like any other."""
    old, new = (sandbox.issue_token("access") for _ in range(2))

    def expire(happened: Event) -> None:
        if isinstance(happened, Retrying):
            sandbox.expire_token(old)
            given.append(new)

    given = [old]

    async def provide() -> str:
        return given[0] if not story else given[-1]

    story: list[Event] = []

    def listen(happened: Event) -> None:
        expire(happened)
        if isinstance(happened, ResponseReceived) and happened.status == 401:
            story.append(happened)

    sandbox.faults.plan(UPDATE, ["lose-response"])
    client = make_client(provide, on_event=listen)
    update = AppointmentUpdate(title="x")
    answer = await with_response(client.update_appointment(sandbox.appointment_ids[0], update))
    assert (answer.reconciled, answer.attempts, len(story)) == (True, 3, 1)


async def test_in_an_outage_the_budget_of_the_location_bounds_the_repetitions(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """Forty calls that all fail: ten repetitions, not a hundred and sixty; the error says why."""
    sandbox.faults.plan(GET, ["503"] * 100)
    client = make_client()
    calls = (client.get_appointment(event_id) for event_id in sandbox.appointment_ids)
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, ServerError) for end in ends)
    assert len(sandbox.requests) <= 51
    assert sum("budget" in str(end) for end in ends) >= 38


async def test_the_daily_budget_fails_at_once_with_the_time_of_its_return(
    sandbox: Sandbox, client: LeadConnector
) -> None:
    """Not one request more is sent, and the error says when it is worth while again."""
    sandbox.limits = Limits(max_requests=100, interval=0.1, daily=2)
    event_id = sandbox.appointment_ids[0]
    await client.get_appointment(event_id)
    await client.get_appointment(event_id)
    assert client.quota.daily_remaining == 0
    with pytest.raises(DailyLimitError, match="resets in 86") as caught:
        await client.get_appointment(event_id)
    assert (len(sandbox.requests), caught.value.attempts) == (2, 0)
    assert 86_390 < (caught.value.retry_after or 0) <= 86_400 + 1e-6  # a sum of floats


async def test_a_wait_beyond_the_deadline_is_refused_before_it_begins(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """Nothing is sent, and nobody waits for nothing."""
    sandbox.limits = Limits(max_requests=1, interval=600.0)
    client = make_client()
    event_id = sandbox.appointment_ids[0]
    await client.get_appointment(event_id)
    hurried = client.with_options(retry=RetryPolicy(deadline=5.0))
    with pytest.raises(DeadlineExceededError, match=r"slot is free in \d") as caught:
        await hurried.get_appointment(event_id)
    assert (len(sandbox.requests), caught.value.attempts, caught.value.outcome) == (1, 0, "not_applied")


@pytest.mark.parametrize("failure", [OSError("vault"), "pit-x\n"])
async def test_a_lost_answer_is_not_forgotten_when_the_next_token_fails(
    sandbox: Sandbox, make_client: MakeClient, failure: OSError | str
) -> None:
    """The next attempt cannot be made; the write of the first may still be applied."""
    given: list[OSError | str] = [failure, sandbox.token]

    async def provide() -> str:
        token = given.pop()
        if isinstance(token, OSError):
            raise token
        return token

    sandbox.faults.plan(UPDATE, ["lose-response"])
    with pytest.raises(LeadConnectorError) as caught:
        await make_client(provide).update_appointment(sandbox.appointment_ids[0], AppointmentUpdate(title="x"))
    assert (caught.value.outcome, caught.value.attempts) == ("unknown", 1)


async def test_a_lost_answer_is_not_forgotten_when_the_client_is_closed(
    sandbox: Sandbox, make_client: MakeClient
) -> None:
    """Closing in the middle of a call ends it, and says what is not known."""
    closing: list[asyncio.Task[None]] = []

    def close(event: Event) -> None:
        if isinstance(event, Retrying):
            closing.append(asyncio.create_task(client.aclose()))

    client = make_client(on_event=close)
    sandbox.faults.plan(UPDATE, ["lose-response"])
    with pytest.raises(OutcomeUnknownError, match="client is closed") as caught:
        await client.update_appointment(sandbox.appointment_ids[0], AppointmentUpdate(title="x"))
    await asyncio.gather(*closing)
    assert (caught.value.outcome, caught.value.attempts) == ("unknown", 1)


async def test_an_id_from_outside_reaches_the_server_as_one_segment(
    sandbox: Sandbox, client: LeadConnector
) -> None:
    """Slashes and dots do not lead to another route."""
    with pytest.raises(LeadConnectorError, match="never existed"):
        await client.get_appointment("../../x/..")
    (request,) = sandbox.requests
    assert request.event_id == "../../x/.."
    assert request.path == "/calendars/events/appointments/..%2F..%2Fx%2F.."


async def test_a_creation_is_never_sent_twice(sandbox: Sandbox, client: LeadConnector) -> None:
    """A POST whose answer is lost is unknown at once, and the error says what was sent."""
    from ..raw_server import raw_server

    async with raw_server(b"") as server, LeadConnector("t", base_url=server.url, retry=QUICK) as poster:
        with pytest.raises(OutcomeUnknownError) as caught:
            await poster.request("POST", "/calendars/events/appointments", body={"contactId": "c"})
        assert len(server.requests) == 1
    assert caught.value.sent == "POST /calendars/events/appointments"
    assert caught.value.sent_body == b'{"contactId":"c"}'
    assert caught.value.outcome == "unknown"


@pytest.mark.parametrize("reader", ["read_success", "read_error", "read_no_response"])
async def test_a_response_for_which_there_is_no_memory_is_a_lost_one(
    reader: str, sandbox: Sandbox, client: LeadConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is read back; a read, which changes nothing, fails like any code of the program."""
    real, shortages = getattr(attempt, reader), [MemoryError(), MemoryError()]

    def read(*given: object, **options: object) -> object:
        if shortages:
            raise shortages.pop()
        return real(*given, **options)

    fault = {"read_error": ["503"], "read_no_response": ["lose-response"]}.get(reader, [])
    event_id = sandbox.appointment_ids[0]
    with monkeypatch.context() as patch:
        patch.setattr(attempt, reader, read)
        sandbox.faults.plan(GET, [*fault])
        with pytest.raises(MemoryError):
            await client.get_appointment(event_id)
        sandbox.faults.plan(UPDATE, [*fault])
        answer = await with_response(client.update_appointment(event_id, {"title": reader}))
    assert not shortages
    assert answer.reconciled is (reader != "read_error")
    assert (sandbox.appointment(event_id).title, client.quota.in_flight) == (reader, 0)
    assert len([one for one in sandbox.requests.of(UPDATE) if one.applied]) == 1
