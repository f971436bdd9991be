"""The vendor's own SDK, pointed at the sandbox: `pytest tests/vendors_sdk.py`, with the extra `bench`.

Not a part of the default run, because that does without the SDK.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from leadconnector_async.sandbox import Sandbox

from .benchmarks.call import open_vendors

START = datetime(2027, 6, 1, 13, tzinfo=UTC)


def in_milliseconds(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))


async def test_the_vendors_sdk_does_its_work_on_the_sandbox() -> None:
    """Create, get, update, list, free slots, notes and delete, all without an error; it sends `Version: v3`."""
    async with Sandbox() as sandbox:
        sdk: Any = open_vendors(sandbox.url, sandbox.token)
        known = sandbox.appointment(sandbox.appointment_ids[0])
        booking = {
            "calendarId": known.calendar_id,
            "locationId": sandbox.location_id,
            "contactId": known.contact_id,
            "startTime": START.isoformat(),
        }
        made = await sdk.calendars.create_appointment(booking)
        read = await sdk.calendars.get_appointment(made["id"])
        assert read["event"]["id"] == made["id"]
        changed = await sdk.calendars.edit_appointment(made["id"], {"title": "changed"})
        assert changed["title"] == "changed"
        listed = await sdk.calendars.get_calendar_events(
            sandbox.location_id,
            in_milliseconds(START),
            in_milliseconds(START + timedelta(hours=1)),
            calendar_id=known.calendar_id,
        )
        assert [one["id"] for one in listed["events"]] == [made["id"]]
        note = await sdk.calendars.create_appointment_note(made["id"], {"body": "a note"})
        assert note["note"]["body"] == "a note"
        assert (await sdk.calendars.get_calendars(sandbox.location_id))["calendars"]
        assert (await sdk.calendars.delete_event(made["id"], {}))["succeeded"] is True
        assert sandbox.appointment(made["id"]).deleted
        await sdk.http_client.aclose()
