"""Faults × operations on real sockets: what the library reports is what the server saw."""

import asyncio

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    ConfigurationError,
    DecodeError,
    Event,
    LeadConnector,
    LeadConnectorError,
    OutcomeUnknownError,
    RetryPolicy,
    ServerError,
    Timeouts,
    TransportError,
    answer_of,
)
from leadconnector_async.events import Retrying
from leadconnector_async.sandbox import Sandbox

from .conftest import QUICK, MakeClient

UPDATE, GET = "update_appointment", "get_appointment"
NONE = type(None)

# operation, faults, on_ambiguous, requests, times applied, error, outcome
TABLE = [
    (UPDATE, ["ok"], "retry", 1, 1, NONE, None),
    (UPDATE, ["503"], "retry", 2, 1, NONE, None),
    (UPDATE, ["500", "502", "504", "520"], "retry", 5, 1, NONE, None),
    (UPDATE, ["429 retry-after=0.05"], "retry", 2, 1, NONE, None),
    (UPDATE, ["408", "425"], "retry", 3, 1, NONE, None),
    (UPDATE, ["reset"], "retry", 2, 1, NONE, None),
    (UPDATE, ["lose-answer"], "retry", 2, 2, NONE, None),
    (UPDATE, ["503-after-apply"], "retry", 2, 2, NONE, None),
    (UPDATE, ["html 502"], "retry", 2, 1, NONE, None),
    (UPDATE, ["stall 0.02"], "retry", 1, 1, NONE, None),
    (UPDATE, ["stall 1"], "retry", 2, 2, NONE, None),
    (UPDATE, ["half-body"], "retry", 1, 1, DecodeError, "applied"),
    (UPDATE, ["503"] * 5, "retry", 5, 0, ServerError, "unknown"),
    (UPDATE, ["lose-answer"] * 5, "retry", 5, 5, OutcomeUnknownError, "unknown"),
    (UPDATE, ["reset", "503", "html 502", "reset"], "retry", 5, 1, NONE, None),
    (UPDATE, ["408", "425"], "raise", 3, 1, NONE, None),
    (UPDATE, ["429 retry-after=0.05"], "raise", 2, 1, NONE, None),
    (UPDATE, ["503"], "raise", 1, 0, OutcomeUnknownError, "unknown"),
    (UPDATE, ["reset"], "raise", 1, 0, OutcomeUnknownError, "unknown"),
    (UPDATE, ["lose-answer"], "raise", 1, 1, OutcomeUnknownError, "unknown"),
    (UPDATE, ["stall 1"], "raise", 1, 1, OutcomeUnknownError, "unknown"),
    (UPDATE, ["half-body"], "raise", 1, 1, DecodeError, "applied"),
    (GET, ["ok"], "retry", 1, 0, NONE, None),
    (GET, ["503", "reset", "lose-answer", "half-body"], "raise", 5, 0, NONE, None),
    (GET, ["html 502", "stall 1", "429 retry-after=0.05", "500"], "raise", 5, 0, NONE, None),
    (GET, ["502"] * 5, "retry", 5, 0, ServerError, "not_applied"),
    (GET, ["reset"] * 5, "retry", 5, 0, TransportError, "not_applied"),
    (GET, ["half-body"] * 5, "retry", 5, 0, TransportError, "not_applied"),
]


@pytest.mark.parametrize(("operation", "faults", "mode", "requests", "applied", "error", "outcome"), TABLE)
async def test_what_is_reported_is_what_was_seen(
    sandbox: Sandbox,
    make_client: MakeClient,
    operation: str,
    faults: list[str],
    mode: str,
    requests: int,
    applied: int,
    error: type[LeadConnectorError],
    outcome: str | None,
) -> None:
    """Attempts reported, requests seen, changes applied, faults used up, error and outcome: all as expected."""
    sandbox.faults.plan(operation, faults)
    policy = RetryPolicy(backoff_base=0.001, backoff_cap=0.002, on_ambiguous=mode)  # type: ignore[arg-type]
    client = make_client(retry=policy, timeouts=Timeouts(connect=0.1, read=0.1))
    event_id = sandbox.appointment_ids[0]
    caught: LeadConnectorError | None = None
    try:
        attempts = (await answer_of(call(client, operation, event_id))).attempts
    except LeadConnectorError as failure:
        caught, attempts = failure, failure.attempts
    assert attempts == len(sandbox.requests.of(operation)) == requests
    assert sandbox.requests.count_applied(event_id) == applied
    assert sandbox.faults.unused() == {}
    assert type(caught) is error
    if caught is not None:
        assert (caught.outcome, caught.operation) == (outcome, operation)


async def call(client: LeadConnector, operation: str, event_id: str) -> object:
    if operation == GET:
        return await client.get_appointment(event_id)
    return await client.update_appointment(event_id, AppointmentUpdate(title="moved", appointment_status="new"))


async def test_a_refusal_after_a_lost_answer_is_not_taken_for_certain(
    sandbox: Sandbox, client: LeadConnector
) -> None:
    """The repetition collides with what the lost attempt has done: the error says that it may be applied."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    sandbox.faults.plan(UPDATE, ["lose-answer"])
    update = AppointmentUpdate(
        start_time=event.start_time.replace(hour=event.start_time.hour + 5),
        end_time=event.end_time.replace(hour=event.end_time.hour + 5),
    )
    with pytest.raises(LeadConnectorError, match="no longer available") as caught:
        await client.update_appointment(event.id, update)
    assert caught.value.outcome == "unknown"
    assert sandbox.requests.count_applied(event.id) == 1


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

    sandbox.faults.plan(UPDATE, ["lose-answer"])
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
    sandbox.faults.plan(UPDATE, ["lose-answer"])
    with pytest.raises(ConfigurationError, match="closed") as caught:
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
    from .raw_server import raw_server

    async with raw_server(b"") as server, LeadConnector("t", base_url=server.url, retry=QUICK) as poster:
        with pytest.raises(OutcomeUnknownError) as caught:
            await poster.request("POST", "/calendars/events/appointments", body={"contactId": "c"})
        assert len(server.requests) == 1
    assert caught.value.sent == "POST /calendars/events/appointments"
    assert caught.value.sent_body == b'{"contactId":"c"}'
    assert caught.value.outcome == "unknown"
