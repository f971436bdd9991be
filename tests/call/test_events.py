"""What is told while it happens."""

import asyncio
import contextlib
import logging
import time
import typing

import msgspec
import pytest

from leadconnector_async import (
    AppointmentUpdate,
    Event,
    LeadConnectorError,
    NotFoundError,
    OutcomeUnknownError,
    RetryPolicy,
)
from leadconnector_async._call.emit import LEVELS, EventEmitter
from leadconnector_async.events import (
    AnyEvent,
    CallFailed,
    CallStarted,
    CallSucceeded,
    OutcomeUnknown,
    Paused,
    Reconciled,
    RequestFailed,
    RequestSent,
    ResponseReceived,
    Resumed,
    Retrying,
    SlotAcquired,
    Stamped,
    WaitingForSlot,
    combine_handlers,
)
from leadconnector_async.jobs.worker_events import AnyWorkerEvent, DatabaseLost, LocationFinished, WorkerEvent
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient


async def test_the_story_of_a_call_is_told_in_order(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Started, sent, broken, retrying, sent, answered, paused, retrying, waited, sent, answered, succeeded."""
    events: list[Event] = []
    sandbox.faults.plan("get_appointment", ["reset", "429 retry-after=0.02"])
    await make_client(on_event=events.append).get_appointment(sandbox.appointment_ids[0])
    assert [type(event) for event in events] == [
        CallStarted,
        RequestSent,
        RequestFailed,
        Retrying,
        RequestSent,
        ResponseReceived,
        Paused,
        Retrying,
        WaitingForSlot,
        Resumed,
        SlotAcquired,
        RequestSent,
        ResponseReceived,
        CallSucceeded,
    ]
    assert {(event.location_id, event.operation) for event in events} == {(sandbox.location_id, "get_appointment")}
    assert [event.attempt for event in events] == [0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3]
    assert [event.status for event in events if isinstance(event, ResponseReceived)] == [429, 200]
    assert all(event.seconds > 0.019 for event in events if isinstance(event, Paused | Resumed | SlotAcquired))


@pytest.mark.parametrize("failure", [RuntimeError("handler"), StopIteration(), asyncio.CancelledError()])
async def test_a_handler_that_fails_breaks_no_call(
    failure: BaseException, sandbox: Sandbox, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the call goes on, also where the handler has met something that was cancelled."""

    def fail(event: Event) -> None:
        raise failure

    assert await make_client(on_event=fail).get_appointment(sandbox.appointment_ids[0])
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 4


async def test_the_log_tells_the_same_at_debug(
    sandbox: Sandbox, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Under one name, by the standard library, and with no handler of ours."""
    caplog.set_level(logging.DEBUG, logger="leadconnector_async")
    await make_client().get_appointment(sandbox.appointment_ids[0])
    assert [record.name for record in caplog.records if record.name.startswith("lead")] == [
        "leadconnector_async"
    ] * 4
    assert logging.getLogger("leadconnector_async").handlers == []


def list_classes(base: type[Stamped]) -> list[type[Stamped]]:
    """Every class of events, however deep."""
    return [found for one in base.__subclasses__() for found in (one, *list_classes(one))]


CONCRETE = [one for one in list_classes(Stamped) if one not in (Event, WorkerEvent)]


def make_event(event_type: type[Stamped]) -> Stamped:
    """One with a value of its own in each field."""
    values: dict[object, object] = {str: "text", int: 7, float: 1.5, bool: True}
    given = {}
    for name, hint in typing.get_type_hints(event_type).items():
        if name in event_type.__struct_fields__:
            first = typing.get_args(hint)[0] if typing.get_args(hint) else hint
            given[name] = values.get(first, first)
    return event_type(**given)


@pytest.mark.parametrize("event_type", CONCRETE)
def test_an_event_survives_json(event_type: type[Stamped]) -> None:
    """It is decoded to the same type with the same values, and its kind is in the JSON."""
    event = make_event(event_type)
    encoded = msgspec.json.encode(event)
    decoded: object = msgspec.json.decode(encoded, type=AnyEvent | AnyWorkerEvent)  # type: ignore[arg-type]
    assert decoded == event
    assert type(decoded) is event_type
    assert msgspec.json.decode(encoded)["kind"] == event.kind
    assert None not in msgspec.structs.astuple(event)


@pytest.mark.parametrize("event_type", CONCRETE)
def test_the_text_of_an_event_is_one_line_that_begins_with_its_kind(event_type: type[Stamped]) -> None:
    """With its fields but for the time, which a log has; a value cannot begin another line."""
    event = make_event(event_type)
    known = [f"{name}={getattr(event, name)!r}" for name in event.__struct_fields__ if name != "at"]
    assert str(event).split(" ")[0] == event.kind
    assert str(event) == " ".join([event.kind, *known])


def test_no_value_of_an_event_begins_a_line() -> None:
    """A log could otherwise be forged; what is unknown is left out."""
    assert str(DatabaseLost(3, "lost\nERROR forged")) == r"database_lost worker=3 reason='lost\nERROR forged'"
    assert (
        str(LocationFinished(3, "day", "loc", 1))
        == "location_finished worker=3 job='day' location_id='loc' epoch=1"
    )


def test_the_kinds_of_events_are_stable() -> None:
    """Programs and dashboards match on them, so they change only on purpose; each has its level."""
    assert {make_event(one).kind for one in CONCRETE} == set(LEVELS)
    warnings = {kind for kind, level in LEVELS.items() if level == logging.WARNING}
    assert warnings == {"paused", "write_repeated", "outcome_unknown", "unexpected_id", "database_lost"}
    assert {level for kind, level in LEVELS.items() if kind not in warnings} == {logging.DEBUG}


async def test_all_events_of_a_call_have_one_id(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Those of reading back too; another call has another id; times are of the wall clock, in order."""
    events: list[Event] = []
    client, event_id = make_client(on_event=events.append), sandbox.appointment_ids[0]
    sandbox.faults.plan("update_appointment", ["lose-response"])
    began = time.time()
    await client.update_appointment(event_id, AppointmentUpdate(title="Moved"))
    first = {event.call_id for event in events}
    assert [type(event) for event in events if isinstance(event, Reconciled | CallSucceeded)] == [
        Reconciled,
        CallSucceeded,
    ]
    assert len(first) == 1
    assert began - 1 < events[0].at <= events[-1].at < time.time() + 1
    await client.get_appointment(event_id)
    assert len({event.call_id for event in events}) == 2


async def test_events_of_a_copy_carry_its_location(sandbox: Sandbox, make_client: MakeClient) -> None:
    """A copy for another location keeps the handler, and is told apart by it."""
    events: list[Event] = []
    client = make_client(on_event=events.append)
    await client.for_location("other", sandbox.token).list_calendars(location_id=sandbox.location_id)
    await client.list_calendars()
    assert [event.location_id for event in events if isinstance(event, CallStarted)] == [
        "other",
        sandbox.location_id,
    ]
    assert {event.location_id for event in events} == {"other", sandbox.location_id}


async def test_nothing_is_created_that_nobody_wants(
    sandbox: Sandbox, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a handler and without DEBUG, a call that succeeds at once makes no event and no id."""
    made: list[object] = []
    monkeypatch.setattr("leadconnector_async._call.emit.urandom", lambda size: made.append(size) or bytes(size))
    monkeypatch.setattr(EventEmitter, "emit", lambda self, event: made.append(event))
    client = make_client()
    await client.get_appointment(sandbox.appointment_ids[0])
    assert made == []
    await client.with_options(on_event=made.append).get_appointment(sandbox.appointment_ids[0])
    assert len(made) == 5


async def test_what_an_operator_must_know_is_a_warning(
    sandbox: Sandbox, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a handler and at the default level: a pause, a write sent again, an unknown outcome."""
    client, event_id = make_client(), sandbox.appointment_ids[0]
    sandbox.faults.plan("update_appointment", ["429 retry-after=0.01", "503"])
    await client.update_appointment(event_id, AppointmentUpdate(title="Moved"))
    sandbox.faults.plan("update_appointment", ["lose-response"])
    with pytest.raises(OutcomeUnknownError):
        await client.with_options(retry=RetryPolicy(on_ambiguous="raise")).update_appointment(
            event_id, AppointmentUpdate(title="Moved again")
        )
    with pytest.raises(NotFoundError):
        await client.request("GET", "/nowhere")
    assert [(record.levelname, record.event.kind) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("WARNING", "paused"),
        ("WARNING", "write_repeated"),
        ("WARNING", "outcome_unknown"),
    ]
    [first, second, third] = [record.event.call_id for record in caplog.records]  # type: ignore[attr-defined]
    assert len(first) == 16
    assert first == second != third


async def test_a_cancelled_call_has_an_end(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Whoever watches learns that it is over, and that a write that was sent may have been applied."""
    events: list[Event] = []
    sandbox.faults.plan("update_appointment", ["stall 5"])
    client = make_client(on_event=events.append)
    task = asyncio.create_task(
        client.update_appointment(sandbox.appointment_ids[0], AppointmentUpdate(title="Moved"))
    )
    while not any(isinstance(event, RequestSent) for event in events):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    last = events[-1]
    assert isinstance(last, OutcomeUnknown)
    assert (last.error, last.outcome) == ("CancelledError", "unknown")


async def test_a_failed_call_says_how_it_ended(sandbox: Sandbox, make_client: MakeClient) -> None:
    """The class of its error, its status code, and what became of a write."""
    events: list[Event] = []
    with pytest.raises(LeadConnectorError):
        await make_client(on_event=events.append).update_appointment("unknown", AppointmentUpdate(title="Moved"))
    last = events[-1]
    assert type(last) is CallFailed
    assert (last.error, last.outcome) == ("InvalidEventError", "not_applied")
    assert last.status is not None


async def test_urls_in_events_hold_no_personal_data(sandbox: Sandbox, make_client: MakeClient) -> None:
    """The values of a query are left out: one of them may be somebody's address."""
    events: list[Event] = []
    with contextlib.suppress(LeadConnectorError):
        await make_client(on_event=events.append).request("GET", "/contacts/", query={"query": "ann@example.org"})
    [sent] = [event for event in events if isinstance(event, RequestSent)]
    assert sent.url == f"{sandbox.url}/contacts/?query=REDACTED"
    assert (sent.method, sent.template) == ("GET", None)
    assert "ann@" not in str(events)


def test_every_handler_gets_every_event() -> None:
    """One that fails, or is not a plain function, keeps nothing from the others and is reported."""
    seen: list[object] = []

    def fail(event: Event) -> None:
        raise ValueError("no")

    async def wait(event: Event) -> None: ...

    handle = combine_handlers(fail, wait, seen.append)  # type: ignore[arg-type]
    event = CallStarted("loc", "get_appointment", 0, "id")
    with pytest.raises(ExceptionGroup) as caught:
        handle(event)
    assert [type(error) for error in caught.value.exceptions] == [ValueError, TypeError]
    assert seen == [event]
