"""The whole state can be saved and restored."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest

from leadconnector_async import AppointmentCreate, BlockSlotCreate, InvalidRequestError, LeadConnector
from leadconnector_async.sandbox import Sandbox

HEADERS = {"X-Sandbox-Admin": "any"}
START = datetime(2027, 5, 3, 14, tzinfo=UTC)


async def change_everything(sandbox: Sandbox, client: LeadConnector) -> None:
    """An appointment, a booking, an instance of a series, a block slot, notes, a contact, a calendar."""
    event = sandbox.appointment(sandbox.appointment_ids[0])
    sandbox.edit_appointment(event.id, title="changed")
    sandbox.delete_appointment(sandbox.appointment_ids[1])
    await client.create_appointment(
        AppointmentCreate(calendar_id=event.calendar_id, contact_id=event.contact_id, start_time=START)
    )
    end = START + timedelta(hours=1)
    await client.create_block_slot(
        BlockSlotCreate(assigned_user_id=event.assigned_user_id, start_time=START, end_time=end, title="Lunch")
    )
    master = sandbox.appointment(sandbox.series_ids[0])
    listed = sandbox.store.list_between(master.location_id, master.start_time, master.end_time)
    sandbox.edit_appointment(next(one.id for one in listed if one.master_event_id == master.id), title="moved")
    await client.create_note(event.id, "Bring the X-ray")
    sandbox.edit_contact(event.contact_id, phone="+99900000000001")
    sandbox.store.contacts["own contact"] = sandbox.location_id


def describe(sandbox: Sandbox) -> dict[str, Any]:
    return dict(json.loads(sandbox.snapshot()))


async def test_a_restored_state_is_the_saved_one(sandbox: Sandbox, client: LeadConnector) -> None:
    """There and back: to before the changes, and to after them."""
    before = sandbox.snapshot()
    await change_everything(sandbox, client)
    after = sandbox.snapshot()
    changed = {name for name, value in json.loads(after).items() if value != json.loads(before)[name]}
    assert changed == {"appointments", "notes", "contacts", "edited_contacts"}
    sandbox.restore(before)
    assert sandbox.snapshot() == before
    assert [one async for one in client.list_notes(sandbox.appointment_ids[0])] == []
    sandbox.restore(after)
    assert sandbox.snapshot() == after
    event = sandbox.appointment(sandbox.appointment_ids[0])
    (note,) = [one async for one in client.list_notes(event.id)]
    assert (note.body, event.title) == ("Bring the X-ray", "changed")
    assert sandbox.contact(event.contact_id).phone == "+99900000000001"
    assert sandbox.contact("own contact").location_id == sandbox.location_id
    day = datetime(2027, 5, 3, tzinfo=UTC), datetime(2027, 5, 4, tzinfo=UTC)
    (block,) = [one for one in sandbox.store.list_between(sandbox.location_id, *day) if one.is_block]
    assert block.title == "Lunch"


def list_parts(value: object) -> set[str]:
    """The attributes of the store, and of its dictionaries that have some."""
    found = set()
    for name, part in vars(value).items():
        inner = vars(part) if isinstance(part, dict) and hasattr(part, "__dict__") else {}
        found |= {name, *(f"{name}.{one}" for one in inner)}
    return found


def test_no_part_of_the_store_is_forgotten() -> None:
    """Whoever adds one saves and restores it, or says here that it follows from the others."""
    saved = {"users", "calendars", "groups", "groups.known", "contacts", "contacts.edited", "notes", "index"}
    kept = {"locations", "now", "on_change", "_stamps"}
    assert list_parts(Sandbox().store) == saved | kept


async def test_a_calendar_can_be_restored(sandbox: Sandbox) -> None:
    """As can users and groups."""
    before, store = sandbox.snapshot(), sandbox.store
    calendar = next(iter(store.calendars.values()))
    store.calendars[calendar.id] = msgspec.structs.replace(calendar, name="renamed", is_active=False)
    store.users.clear()
    store.groups.clear()
    store.groups.known.clear()
    sandbox.restore(before)
    assert sandbox.store.calendars[calendar.id] == calendar
    assert sandbox.snapshot() == before


async def test_another_sandbox_of_the_same_seed_takes_it(sandbox: Sandbox, client: LeadConnector) -> None:
    """And makes new ids there, though it has made none of those that it was given."""
    await change_everything(sandbox, client)
    saved = sandbox.snapshot()
    async with Sandbox(appointments=3) as other:
        other.restore(saved)
        assert other.snapshot() == saved
        token, place = other.token, other.location_id
        async with LeadConnector(token, base_url=other.url, location_id=place) as second:
            known = other.appointment(sandbox.appointment_ids[0])
            made = await second.create_appointment(
                AppointmentCreate(
                    calendar_id=known.calendar_id,
                    contact_id=known.contact_id,
                    start_time=START + timedelta(days=1),
                )
            )
        assert made.id not in saved.decode()
        assert len(other.store) == len(sandbox.store) + 1


async def test_what_is_restored_counts_as_changed_only_if_it_differs(sandbox: Sandbox) -> None:
    """Its `dateUpdated` moves, and no other's."""
    first, second = sandbox.appointment_ids[:2]
    before = sandbox.snapshot()
    sandbox.edit_appointment(first, title="x")
    stamps = {one: sandbox.store.find_stamps(sandbox.appointment(one)) for one in (first, second)}
    sandbox.advance(60)
    sandbox.restore(before)
    again = {one: sandbox.store.find_stamps(sandbox.appointment(one)) for one in (first, second)}
    assert again[second] == stamps[second]
    assert again[first].added == stamps[first].added
    assert again[first].updated - stamps[first].updated >= timedelta(seconds=59)


async def test_equal_states_give_equal_bytes(sandbox: Sandbox, client: LeadConnector) -> None:
    """Whenever, and in whatever order, the changes were made: notes carry no dates."""
    async with Sandbox(appointments=40) as other:
        other.advance(5000)
        async with LeadConnector(other.token, base_url=other.url, location_id=other.location_id) as second:
            for one in (client, second):
                await one.create_note(sandbox.appointment_ids[0], "Hello")
        for number, server in enumerate((sandbox, other)):
            for event_id in sandbox.appointment_ids[1:3][:: 1 if number else -1]:
                server.edit_contact(server.appointment(event_id).contact_id, phone="+99900000000001")
                server.edit_appointment(event_id, title="x")
        assert other.snapshot() == sandbox.snapshot()


async def test_a_refused_request_changes_nothing(sandbox: Sandbox) -> None:
    """Asking for the notes of an appointment that has none makes no list."""
    before = sandbox.snapshot()
    assert sandbox.store.notes[sandbox.appointment_ids[0]] == []
    assert sandbox.snapshot() == before


FOREIGN: list[Any] = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"format": "leadconnector-sandbox-2"}',
    "text",
    None,
    5,
]


@pytest.mark.parametrize("data", FOREIGN, ids=lambda data: repr(data)[:20])
async def test_foreign_bytes_are_refused(sandbox: Sandbox, data: Any) -> None:
    """With an error that says what to pass; the state stays as it is."""
    before = sandbox.snapshot()
    with pytest.raises(InvalidRequestError, match=r"snapshot is .*; pass what snapshot\(\)"):
        sandbox.restore(data)
    assert sandbox.snapshot() == before


async def test_a_damaged_snapshot_is_refused(sandbox: Sandbox) -> None:
    """Cut anywhere, or with a value of another type."""
    saved = sandbox.snapshot()
    whole = json.loads(saved)
    whole["appointments"][0]["title"] = 5
    for damaged in (saved[:-1], saved[: len(saved) // 2], json.dumps(whole).encode()):
        with pytest.raises(InvalidRequestError, match="snapshot is"):
            sandbox.restore(damaged)
    assert sandbox.snapshot() == saved


async def test_another_seeds_snapshot_is_refused(sandbox: Sandbox) -> None:
    """Its locations are unknown to the tokens of this one."""
    for other in (Sandbox(seed=2), Sandbox(locations=2)):
        with pytest.raises(InvalidRequestError, match="same seed and number of locations"):
            sandbox.restore(other.snapshot())


async def test_other_processes_can_save_and_restore(sandbox: Sandbox) -> None:
    """The same bytes by the admin routes; what is not a snapshot is a 400."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{sandbox.url}/_sandbox/snapshot") as response:
            saved = await response.read()
        assert saved == sandbox.snapshot()
        sandbox.edit_appointment(sandbox.appointment_ids[0], title="x")
        async with session.post(f"{sandbox.url}/_sandbox/restore", data=saved, headers=HEADERS) as response:
            assert (response.status, await response.json()) == (200, {"appointments": len(sandbox.store)})
        assert sandbox.snapshot() == saved
        async with session.post(f"{sandbox.url}/_sandbox/restore", data=b"{}", headers=HEADERS) as response:
            assert response.status == 400
            assert "snapshot is '2 bytes'" in (await response.json())["error"]
