"""What the server does for each operation: a request that is allowed in, the new state and a response out.

A handler checks everything before it changes anything. What nobody has observed of the real server is a [guess].
Pure but for the store that it changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import available_timezones

import msgspec

from . import contacts, responses
from .context import RequestContext, Result, check_query_location, decode, read_flag, read_number, respond
from .free_slots import list_free_slots
from .models import BookedAppointment, BookedNote, Contact
from .store import Store, list_owners
from .updates import (
    INVALID_EVENT,
    Refusal,
    apply_update,
    check_location,
    create_appointment,
    create_block_slot,
    find_calendar,
    read_texts,
    update_block_slot,
)

_LONGEST_RANGE: Final = timedelta(days=31)
_NOTES_ON_A_PAGE: Final = 20
_LONGEST_NOTE: Final = 5000
_NOTE_FIELDS: Final = {"body": "body", "userId": "user_id"}
_USER_IDS: Final = re.compile(r"userId|userIds(?:\[\d*\])?")
"""Whether a list repeats its key, with or without brackets, is not known: all forms are accepted."""


def get_appointment(context: RequestContext) -> Result:
    """The event in its envelope."""
    return respond(context, {"event": responses.render_event(context.store, _find(context), context.quirks)})


def update_appointment(context: RequestContext) -> Result:
    """Change what the body names."""
    changed = apply_update(
        context.store,
        _find(context),
        decode(context.body),
        version=context.version,
        quirks=context.quirks,
        strict=context.strict,
    )
    return _write(context, changed)


def create(context: RequestContext) -> Result:
    """Responds like an update."""
    event = create_appointment(
        context.store,
        context.new_id(),
        decode(context.body),
        location_id=context.location_id,
        version=context.version,
        strict=context.strict,
    )
    return _write(context, event)


def delete_event(context: RequestContext) -> Result:
    """An appointment, an instance or a block slot; one that is deleted already has an invalid id."""
    event = _find(context)
    if event.deleted:
        raise Refusal(400, INVALID_EVENT)
    context.store.put(msgspec.structs.replace(event, deleted=True))
    return respond(context, {"succeeded": True}, status=201, changed=event.id)


def list_events(context: RequestContext) -> Result:
    """The appointments of a calendar or a user in a range, instances included; none that are deleted."""
    return _list(context, blocks=False)


def list_blocked_slots(context: RequestContext) -> Result:
    """The block slots of a calendar or a user in a range."""
    return _list(context, blocks=True)


def write_block_slot(context: RequestContext) -> Result:
    """Create one, or change the one that the path names."""
    store, body, location_id = context.store, context.body, context.location_id
    if "event_id" in context.ids:
        block = update_block_slot(store, _find(context), decode(body), location_id=location_id)
    else:
        block = create_block_slot(store, context.new_id(), decode(body), location_id=location_id)
    store.put(block)
    return Result(responses.render_block_slot(store, block, context.quirks), 201, block.id)


def get_free_slots(context: RequestContext) -> Result:
    """By day, in the zone of the query or the calendar's; users outside of the team have none [guess]."""
    calendar = find_calendar(context.store, context.ids["calendar_id"], context.location_id)
    start, end = _read_range(context, "startDate", "endDate")
    if end - start > _LONGEST_RANGE:
        raise Refusal(400, "The date range must not be longer than 31 days.")  # the text is a guess
    zone = context.query.get("timezone")
    if zone is not None and zone not in available_timezones():
        raise Refusal(422, ["timezone must be a valid time zone"])  # the text is a guess
    read_flag(context, "enableLookBusy")
    named = _read_users(context)
    users = [user for user in calendar.team if user in named] if named else calendar.team or ("",)
    days = list_free_slots(context.store, calendar, start, end, zone=zone, users=users)
    return respond(context, {day: {"slots": slots} for day, slots in days.items()})


def list_notes(context: RequestContext) -> Result:
    """A page of at most 20."""
    notes = context.store.notes[_find(context).id]
    offset, limit = read_number(context, "offset"), read_number(context, "limit")
    if limit > _NOTES_ON_A_PAGE:
        raise Refusal(422, [f"limit must not be greater than {_NOTES_ON_A_PAGE}"])
    page = [responses.render_note(note) for note in notes[offset : offset + limit]]
    return respond(context, {"notes": page, "hasMore": offset + limit < len(notes)})


def create_note(context: RequestContext) -> Result:
    """Appended to the list."""
    event = _find(context)
    text, user_id = _read_note(context)
    note = BookedNote(context.new_id(), text, user_id, event.contact_id, context.store.now)
    context.store.notes[event.id].append(note)
    return respond(context, {"note": responses.render_note(note)}, status=201, changed=event.id)


def update_note(context: RequestContext) -> Result:
    """Another text; another author only if one is named."""
    event, position = _find(context), _find_note(context)
    text, user_id = _read_note(context)
    notes = context.store.notes[event.id]
    note = msgspec.structs.replace(notes[position], body=text, user_id=user_id or notes[position].user_id)
    notes[position] = note
    return respond(context, {"note": responses.render_note(note)}, changed=event.id)


def delete_note(context: RequestContext) -> Result:
    """Removes it from the list."""
    event, position = _find(context), _find_note(context)
    del context.store.notes[event.id][position]
    return respond(context, {"success": True}, changed=event.id)


def get_calendar(context: RequestContext) -> Result:
    """With its team and its meeting locations."""
    calendar = find_calendar(context.store, context.ids["calendar_id"], context.location_id)
    return respond(context, {"calendar": responses.render_calendar(context.store, calendar)})


def list_calendars(context: RequestContext) -> Result:
    """Those of the location, or of one of its groups; drafts too, unless the query says otherwise [doc]."""
    check_query_location(context)
    group_id, drafts = context.query.get("groupId"), read_flag(context, "showDrafted", default=True)
    calendars = [
        responses.render_calendar(context.store, calendar)
        for calendar in context.store.calendars.values()
        if calendar.location_id == context.location_id
        and group_id in (None, context.store.groups.get(calendar.id))
        and (drafts or calendar.is_active)
    ]
    return respond(context, {"calendars": calendars})


def get_contact(context: RequestContext) -> Result:
    """The person in its envelope."""
    return respond(context, {"contact": contacts.render_contact(_find_contact(context))})


def list_contact_appointments(context: RequestContext) -> Result:
    """Without offsets."""
    found = contacts.list_appointments(context.store, _find_contact(context).id)
    return respond(context, {"events": [contacts.render_appointment(context.store, event) for event in found]})


def get_duplicate_contact(context: RequestContext) -> Result:
    """The contact with that address or number, or none; an unescaped `+` in a query is a blank."""
    check_query_location(context)
    phone, email = (context.query.get(name, "") for name in ("number", "email"))
    found = contacts.find_contact(context.store, context.location_id, phone=phone, email=email)
    return respond(context, {"contact": contacts.render_contact(found) if found else None})


def _write(context: RequestContext, event: BookedAppointment) -> Result:
    context.store.put(event)
    body = responses.render_written(context.store, event, context.quirks, context.trace_id, version=context.version)
    return Result(body, changed=event.id)


def _find(context: RequestContext) -> BookedAppointment:
    event = context.store.find(context.ids["event_id"])
    if event is None or (event.deleted and not context.quirks.deleted_readable):
        raise Refusal(400, INVALID_EVENT)
    check_location(event.location_id, context.location_id)
    return event


def _find_contact(context: RequestContext) -> Contact:
    contact_id = context.ids["contact_id"]
    if contact_id not in context.store.contacts:
        raise Refusal(400, "Contact not found")  # the text is a guess
    check_location(context.store.contacts[contact_id], context.location_id)
    return contacts.get_contact(context.store, contact_id)


def _find_note(context: RequestContext) -> int:
    notes = context.store.notes[context.ids["event_id"]]
    for position, note in enumerate(notes):
        if note.id == context.ids["note_id"]:
            return position
    raise Refusal(404, "Note not found")  # the text is a guess


def _list(context: RequestContext, *, blocks: bool) -> Result:
    check_query_location(context)
    owners = {name: context.query[name] for name in ("userId", "calendarId", "groupId") if name in context.query}
    if not owners:
        raise Refusal(422, "Either of userId, calendarId or groupId is required")  # the text is a guess
    start, end = _read_range(context, "startTime", "endTime")
    events = [
        responses.render_event(context.store, event, context.quirks)
        for event in context.store.list_between(context.location_id, start, end)
        if event.is_block is blocks and _belongs_to(context.store, event, owners)
    ]
    return respond(context, {"events": events})


def _read_users(context: RequestContext) -> list[str]:
    """The users that the query names, in any of the forms that clients use for a list."""
    texts = [text for name, text in context.pairs if _USER_IDS.fullmatch(name)]
    return [user for text in texts for user in text.split(",") if user]


def _belongs_to(store: Store, event: BookedAppointment, owners: Mapping[str, str]) -> bool:
    group_id = store.groups.get(event.calendar_id)
    own: dict[str, set[str | None]] = {
        "userId": {event.assigned_user_id, *list_owners(store, event)},
        "calendarId": {event.calendar_id},
        "groupId": {group_id},
    }
    return all(value in own[name] for name, value in owners.items())


def _read_range(context: RequestContext, first: str, last: str) -> tuple[datetime, datetime]:
    start, end = (datetime.fromtimestamp(read_number(context, name) / 1000, UTC) for name in (first, last))
    if end <= start:
        raise Refusal(422, f"{last} must be after {first}")  # the text is a guess
    return start, end


def _read_note(context: RequestContext) -> tuple[str, str | None]:
    fields = read_texts(decode(context.body), _NOTE_FIELDS)
    body = fields.get("body", "")
    if not body.strip():
        raise Refusal(422, ["body should not be empty"])
    if len(body) > _LONGEST_NOTE:
        raise Refusal(422, [f"body must be shorter than or equal to {_LONGEST_NOTE} characters"])
    return body, fields.get("user_id")
