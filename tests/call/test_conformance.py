"""The conformance table on real sockets: what the library reports is what the server saw.

Each row of `conformance.csv` says what shall go wrong with an operation and with reading it back (`;`
between faults), what the policy is, how many requests of both kinds the server must see, how often a change is
applied, and what the caller is told.
"""

import csv
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leadconnector_async import (
    AppointmentCreate,
    AppointmentUpdate,
    BlockSlotCreate,
    BlockSlotUpdate,
    LeadConnector,
    LeadConnectorError,
    Note,
    RetryPolicy,
    Timeouts,
    with_response,
)
from leadconnector_async._api import appointments, block_slots, calendars, contacts, events, free_slots, notes
from leadconnector_async._api.operations import Operation
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.sandbox.models import BookedNote

from ..conftest import MakeClient

Row = dict[str, str]
GET = "get_appointment"
READS_BACK = {
    "create_appointment": "list_events",
    "create_block_slot": "list_blocked_slots",
    "create_note": "list_notes",
}
"""How an operation is read back, if not by `GET`."""
MODULES = (appointments, block_slots, calendars, contacts, events, free_slots, notes)


def read_table() -> list[Row]:
    with Path(__file__).with_name("conformance.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def name_row(row: Row) -> str:
    return f"{row['operation']}-{row['on_ambiguous']}-{row['faults']}-{row['get_faults']}"


def build_change(sandbox: Sandbox, event_id: str, kind: str) -> AppointmentUpdate:
    if kind == "title":
        return AppointmentUpdate(title="moved", appointment_status="new")
    event = sandbox.appointment(event_id)
    start, end = (moment.replace(hour=moment.hour + 5) for moment in (event.start_time, event.end_time))
    return AppointmentUpdate(start_time=start, end_time=end)


async def list_all_notes(client: LeadConnector, event_id: str) -> list[Note]:
    return [note async for note in client.list_notes(event_id)]


def build_call(client: LeadConnector, sandbox: Sandbox, row: Row) -> Awaitable[object]:
    """One call of the row's operation, with arguments that the sandbox accepts."""
    event_id = sandbox.appointment_ids[0]
    event, start = sandbox.appointment(event_id), datetime(2027, 6, 1, 14, tzinfo=UTC)
    team, group = sandbox.store.calendars[event.calendar_id].team, sandbox.store.groups[event.calendar_id]
    end, calendar = start + timedelta(hours=1), event.calendar_id
    booking = AppointmentCreate(calendar_id=calendar, contact_id=event.contact_id, start_time=start)
    block = BlockSlotCreate(calendar_id=calendar, start_time=start, end_time=end)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "update_appointment": lambda: client.update_appointment(
            event_id, build_change(sandbox, event_id, row["change"])
        ),
        "get_appointment": lambda: client.get_appointment(event_id),
        "create_appointment": lambda: client.create_appointment(booking),
        "delete_event": lambda: client.delete_event(event_id),
        "list_events": lambda: client.list_events(start, end, calendar_id=calendar),
        "list_blocked_slots": lambda: client.list_blocked_slots(start, end, calendar_id=calendar),
        "create_block_slot": lambda: client.create_block_slot(block),
        "update_block_slot": lambda: client.update_block_slot(
            event_id, BlockSlotUpdate(title="x", calendar_id=calendar)
        ),
        "get_free_slots": lambda: client.get_free_slots(calendar, start, end, user_ids=team[:2]),
        "list_notes": lambda: list_all_notes(client, event_id),
        "create_note": lambda: client.create_note(event_id, "x" * 5000, user_id=team[0]),
        "update_note": lambda: client.update_note(event_id, "n", "x", user_id=team[0]),
        "delete_note": lambda: client.delete_note(event_id, "n"),
        "get_calendar": lambda: client.get_calendar(calendar),
        "get_contact": lambda: client.get_contact(event.contact_id),
        "list_contact_appointments": lambda: client.list_contact_appointments(event.contact_id),
        "get_duplicate_contact": lambda: client.find_contacts(phone="+12125550123"),
        "list_calendars": lambda: client.list_calendars(group_id=group, show_drafted=False),
    }
    return calls[row["operation"]]()


async def deliver(
    client: LeadConnector, sandbox: Sandbox, row: Row
) -> tuple[str, int | None, LeadConnectorError | None]:
    """The result, the attempts where they are told, and the error."""
    call = build_call(client, sandbox, row)
    try:
        if row["operation"] == "list_notes":
            await call
            return "ok", None, None
        answer = await with_response(call)
    except LeadConnectorError as failure:
        return "", failure.attempts, failure
    return "reconciled" if answer.reconciled else "ok", answer.attempts, None


def test_every_operation_is_in_the_table() -> None:
    """A new row of the table of operations needs rows here."""
    assert {row["operation"] for row in read_table()} == {
        row.name for module in MODULES for row in vars(module).values() if isinstance(row, Operation)
    }


@pytest.mark.parametrize("row", read_table(), ids=name_row)
async def test_what_is_reported_is_what_was_seen(sandbox: Sandbox, make_client: MakeClient, row: Row) -> None:
    """Requests seen and reported, changes applied, faults used up, result, error and outcome: all as expected."""
    sandbox.store.notes[sandbox.appointment_ids[0]].append(BookedNote("n", "text", None, "c"))
    reading = READS_BACK.get(row["operation"], GET)
    for operation, faults in ((row["operation"], row["faults"]), (reading, row["get_faults"])):
        sandbox.faults.plan(operation, faults.split(";") if faults else [])
    policy = RetryPolicy(
        backoff_base=0.001,
        backoff_cap=0.002,
        apply_timeout=0.2,  # a busy machine pauses for less
        on_ambiguous=row["on_ambiguous"],  # type: ignore[arg-type]
    )
    stalls = "stall 1" in row["faults"] + row["get_faults"]
    client = make_client(retry=policy, timeouts=Timeouts(connect=5, total=0.5 if stalls else 5))
    result, attempts, error = await deliver(client, sandbox, row)
    sends, reads = len(sandbox.requests.of(row["operation"])), len(sandbox.requests.of(reading))
    reads = reads if row["operation"] != reading else 0
    assert (sends, reads) == (int(row["sends"]), int(row["reads"]))
    assert attempts in (None, sends + reads)
    assert sum(request.applied for request in sandbox.requests) == int(row["applied"])
    assert sandbox.faults.unused() == {}
    assert (result, type(error).__name__ if error else "") == (row["result"], row["error"])
    if error is not None:
        assert (error.outcome, error.operation) == (row["outcome"], row["operation"])
