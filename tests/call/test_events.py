"""What is told while it happens."""

import asyncio
import logging

import pytest

from leadconnector_async import Event
from leadconnector_async.events import (
    Paused,
    RequestFailed,
    RequestSent,
    ResponseReceived,
    Resumed,
    Retrying,
    SlotAcquired,
)
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient


async def test_the_story_of_a_call_is_told_in_order(sandbox: Sandbox, make_client: MakeClient) -> None:
    """Sent, broken, retrying, sent, answered, paused, retrying, resumed, waited, sent, answered."""
    events: list[Event] = []
    sandbox.faults.plan("get_appointment", ["reset", "429 retry-after=0.02"])
    await make_client(on_event=events.append).get_appointment(sandbox.appointment_ids[0])
    assert [type(event) for event in events] == [
        RequestSent,
        RequestFailed,
        Retrying,
        RequestSent,
        ResponseReceived,
        Paused,
        Retrying,
        Resumed,
        SlotAcquired,
        RequestSent,
        ResponseReceived,
    ]
    assert {(event.location_id, event.operation) for event in events} == {(sandbox.location_id, "get_appointment")}
    assert [event.attempt for event in events] == [1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3]
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
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


async def test_the_log_tells_the_same_at_debug(
    sandbox: Sandbox, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Under one name, by the standard library, and with no handler of ours."""
    caplog.set_level(logging.DEBUG, logger="leadconnector_async")
    await make_client().get_appointment(sandbox.appointment_ids[0])
    assert [record.name for record in caplog.records if record.name.startswith("lead")] == [
        "leadconnector_async"
    ] * 2
    assert logging.getLogger("leadconnector_async").handlers == []
