"""No import is left to do once a request has been sent: it can fail, in the place of what became of the call."""

import json
import subprocess
import sys

import pytest

PROGRAM = '''
import asyncio, json, sys
from leadconnector_async import AppointmentCreate, LeadConnector, LeadConnectorError, RetryPolicy
from leadconnector_async.sandbox import Sandbox

class Closed:
    """No file can be opened any more."""
    def find_spec(self, name, path=None, target=None):
        raise OSError(24, "Too many open files", name)

async def main(is_closed, operation, faults):
    async with Sandbox() as sandbox:
        retry = RetryPolicy(max_attempts=3, backoff_base=0.01, apply_timeout=0.2)
        async with LeadConnector(
            sandbox.token, location_id=sandbox.location_id, base_url=sandbox.url, retry=retry
        ) as client:
            event = await client.get_appointment(sandbox.appointment_ids[0])
            moved = AppointmentCreate(
                calendar_id=event.calendar_id, contact_id=event.contact_id, start_time=event.start_time,
                end_time=event.end_time, assigned_user_id=event.assigned_user_id, ignore_free_slot_validation=True,
            )
            calls = {
                "get_appointment": lambda: client.get_appointment(event.id),
                "update_appointment": lambda: client.update_appointment(event.id, {"title": "Moved"}),
                "create_appointment": lambda: client.create_appointment(moved),
            }
            await calls["create_appointment"]()
            sandbox.faults.plan(operation, faults)
            if is_closed == "closed":
                sys.meta_path.insert(0, Closed())
            try:
                await calls[operation]()
            except LeadConnectorError as error:
                return type(error).__name__, getattr(error, "outcome", None)
            return "ok", None

print(json.dumps(asyncio.run(main(*sys.argv[1:3], sys.argv[3:]))))
'''
PAGE = "html 502"


def run(where: str, operation: str, *faults: str) -> list[str | None]:
    """What becomes of the call: `ok`, or its error and outcome."""
    command = [sys.executable, "-c", PROGRAM, where, operation, *faults]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    assert done.stdout, done.stderr
    result: list[str | None] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    ("operation", "faults"),
    [
        *(("update_appointment", [fault]) for fault in ("503-after-apply", "lose-response", "half-body", PAGE)),
        *(("update_appointment", [fault]) for fault in ("429 retry-after=0.01", "401", "422")),
        *(("create_appointment", [fault]) for fault in ("503-after-apply", "lose-response")),
        ("get_appointment", [PAGE] * 3),
        ("get_appointment", ["html 403"] * 3),
        ("get_appointment", ["404"]),
    ],
)
def test_every_outcome_is_known_although_nothing_can_be_imported(operation: str, faults: list[str]) -> None:
    """A program without a file descriptor left, or whose package is being upgraded, is told what it always is."""
    assert run("closed", operation, *faults) == run("open", operation, *faults)
