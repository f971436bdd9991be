"""The conformance table on real sockets: what the library reports is what the server saw.

Each row of `conformance.csv` says what shall go wrong (`;` between faults), what the policy is, and how many
updates and reads the server must see, how often the change is applied, and what the caller is told.
"""

import csv
from pathlib import Path

import pytest

from leadconnector_async import (
    AppointmentUpdate,
    LeadConnector,
    LeadConnectorError,
    RetryPolicy,
    Timeouts,
    answer_of,
)
from leadconnector_async.sandbox import Sandbox

from .conftest import MakeClient

Row = dict[str, str]
UPDATE, GET = "update_appointment", "get_appointment"


def read_table() -> list[Row]:
    with Path(__file__).with_name("conformance.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def name_row(row: Row) -> str:
    return f"{row['operation'][:3]}-{row['on_ambiguous']}-{row['update_faults']}-{row['get_faults']}"


def build_change(sandbox: Sandbox, event_id: str, kind: str) -> AppointmentUpdate:
    if kind == "title":
        return AppointmentUpdate(title="moved", appointment_status="new")
    event = sandbox.appointment(event_id)
    start, end = (moment.replace(hour=moment.hour + 5) for moment in (event.start_time, event.end_time))
    return AppointmentUpdate(start_time=start, end_time=end)


async def deliver(client: LeadConnector, sandbox: Sandbox, row: Row) -> tuple[str, int, LeadConnectorError | None]:
    event_id = sandbox.appointment_ids[0]
    update = build_change(sandbox, event_id, row["change"])
    reading = row["operation"] == GET
    try:
        call = client.get_appointment(event_id) if reading else client.update_appointment(event_id, update)
        answer = await answer_of(call)
    except LeadConnectorError as failure:
        return "", failure.attempts, failure
    return "reconciled" if answer.reconciled else "ok", answer.attempts, None


@pytest.mark.parametrize("row", read_table(), ids=name_row)
async def test_what_is_reported_is_what_was_seen(sandbox: Sandbox, make_client: MakeClient, row: Row) -> None:
    """Requests seen and reported, changes applied, faults used up, result, error and outcome: all as expected."""
    for operation, faults in ((UPDATE, row["update_faults"]), (GET, row["get_faults"])):
        sandbox.faults.plan(operation, faults.split(";") if faults else [])
    policy = RetryPolicy(backoff_base=0.001, backoff_cap=0.002, on_ambiguous=row["on_ambiguous"])  # type: ignore[arg-type]
    client = make_client(retry=policy, timeouts=Timeouts(connect=0.15, read=0.15))
    result, attempts, error = await deliver(client, sandbox, row)
    seen = [len(sandbox.requests.of(operation)) for operation in (UPDATE, GET)]
    assert seen == [int(row["updates"]), int(row["reads"])]
    assert attempts == sum(seen)
    assert sandbox.requests.count_applied(sandbox.appointment_ids[0]) == int(row["applied"])
    assert sandbox.faults.unused() == {}
    assert (result, type(error).__name__ if error else "") == (row["result"], row["error"])
    if error is not None:
        assert (error.outcome, error.operation) == (row["outcome"], row["operation"])
