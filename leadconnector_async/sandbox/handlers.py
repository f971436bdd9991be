"""What the server does for each operation: a request that may be served in, the new state and an answer out.

A handler checks everything before it changes anything. Where nobody has shown what the real server does,
the docstring says [guess].

Pure but for the store that it changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias
from zoneinfo import available_timezones

import msgspec
from msgspec import Struct

from . import responses
from .faults import Quirks
from .rules import (
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
from .store import BookedAppointment, BookedNote, Store, list_free_slots

_LONGEST_RANGE: Final = timedelta(days=31)
_NOTES_ON_A_PAGE: Final = 20
_LONGEST_NOTE: Final = 5000
_NOTE_STRINGS: Final = {"body": "body", "userId": "user_id"}
_USER_IDS: Final = re.compile(r"userIds(?:\[\d*\])?")
"""Whether a list repeats its key, with or without brackets, is not known: all are understood."""


class RequestContext(Struct, frozen=True, kw_only=True):
    """A request that may be served."""

    store: Store
    quirks: Quirks
    strict: bool
    location_id: str
    """Of the token."""
    version: str
    ids: Mapping[str, str]
    pairs: Sequence[tuple[str, str]]
    """Of the query, in order."""
    body: bytes
    new_id: Callable[[], str]
    trace_id: str

    @property
    def query(self) -> Mapping[str, str]:
        """The last value of each parameter."""
        return dict(self.pairs)


class Result(Struct, frozen=True):
    """What it came to."""

    body: bytes
    status: int = 200
    changed: str | None = None
    """Id of the event that was changed."""


Handler: TypeAlias = Callable[[RequestContext], Result]


def get_appointment(context: RequestContext) -> Result:
    """The event in its envelope."""
    return Result(responses.render_event(context.store, _find(context), context.quirks, context.trace_id))


def update_appointment(context: RequestContext) -> Result:
    """The flat answer."""
    event, wanted = _find(context), _decode(context.body)
    changed = apply_update(
        context.store, event.id, wanted, version=context.version, quirks=context.quirks, strict=context.strict
    )
    context.store.put(changed)
    return _show_written(context, changed)


def create(context: RequestContext) -> Result:
    """As for an update."""
    event = create_appointment(
        context.store,
        context.new_id(),
        _decode(context.body),
        location_id=context.location_id,
        version=context.version,
        strict=context.strict,
    )
    context.store.put(event)
    return _show_written(context, event)


def delete_event(context: RequestContext) -> Result:
    """An appointment, an instance or a block slot; what is deleted already is not known any more."""
    event = _find(context)
    if event.deleted:
        raise Refusal(400, INVALID_EVENT)
    context.store.put(msgspec.structs.replace(event, deleted=True))
    return Result(responses.encode({"succeeded": True, "traceId": context.trace_id}), 201, event.id)


def list_events(context: RequestContext) -> Result:
    """The appointments of a calendar or a user in a range, instances included; none that are deleted."""
    return _list(context, blocks=False)


def list_blocked_slots(context: RequestContext) -> Result:
    """The block slots of a calendar or a user in a range."""
    return _list(context, blocks=True)


def write_block_slot(context: RequestContext) -> Result:
    """Create one, or change the one that the path names."""
    if "event_id" in context.ids:
        block = update_block_slot(
            context.store, _find(context), _decode(context.body), location_id=context.location_id
        )
    else:
        event_id = context.new_id()
        block = create_block_slot(context.store, event_id, _decode(context.body), location_id=context.location_id)
    context.store.put(block)
    return Result(responses.render_block_slot(context.store, block, context.quirks), 201, block.id)


def get_free_slots(context: RequestContext) -> Result:
    """By day, in the zone that was asked for or the calendar's; whoever is not in the team has none [guess]."""
    calendar = find_calendar(context.store, context.ids["calendar_id"], context.location_id)
    start, end = _read_range(context, "startDate", "endDate")
    if end - start > _LONGEST_RANGE:
        raise Refusal(400, "The date range must not be longer than 31 days.")  # the text is a guess
    if context.query.get("timezone", "UTC") not in available_timezones():
        raise Refusal(422, ["timezone must be a valid time zone"])  # the text is a guess
    _read_flag(context, "enableLookBusy")
    asked = _read_users(context)
    users = [user for user in calendar.team if user in asked] if asked else calendar.team
    days = list_free_slots(context.store, calendar, start, end, zone=context.query.get("timezone"), users=users)
    shown = {day: {"slots": slots} for day, slots in days.items()}
    return Result(responses.encode({**shown, "traceId": context.trace_id}))


def list_notes(context: RequestContext) -> Result:
    """A page of at most 20."""
    notes = context.store.notes[_find(context).id]
    offset, most = _read_number(context, "offset"), _read_number(context, "limit")
    if most > _NOTES_ON_A_PAGE:
        raise Refusal(422, [f"limit must not be greater than {_NOTES_ON_A_PAGE}"])
    page = [responses.render_note(context.store, note) for note in notes[offset : offset + most]]
    return Result(
        responses.encode({"notes": page, "hasMore": offset + most < len(notes), "traceId": context.trace_id})
    )


def create_note(context: RequestContext) -> Result:
    """At the end of the list."""
    event = _find(context)
    text, user_id = _read_note(context)
    note = BookedNote(context.new_id(), text, user_id, event.contact_id, context.store.now)
    context.store.notes[event.id].append(note)
    return _show_note(context, note, 201, event.id)


def update_note(context: RequestContext) -> Result:
    """Another text; another author only if one is named."""
    event, position = _find(context), _find_note(context)
    text, user_id = _read_note(context)
    known = context.store.notes[event.id][position]
    note = msgspec.structs.replace(known, body=text, user_id=user_id or known.user_id)
    context.store.notes[event.id][position] = note
    return _show_note(context, note, 200, event.id)


def delete_note(context: RequestContext) -> Result:
    """It is gone."""
    event, position = _find(context), _find_note(context)
    del context.store.notes[event.id][position]
    return Result(responses.encode({"success": True, "traceId": context.trace_id}), changed=event.id)


def get_calendar(context: RequestContext) -> Result:
    """With its team and its meeting places."""
    calendar = find_calendar(context.store, context.ids["calendar_id"], context.location_id)
    shown = responses.render_calendar(context.store, calendar)
    return Result(responses.encode({"calendar": shown, "traceId": context.trace_id}))


def list_calendars(context: RequestContext) -> Result:
    """Those of the location that is named, or of one of its groups; drafts too, unless it says otherwise [doc]."""
    _check_query_location(context)
    group_id, drafted = context.query.get("groupId"), _read_flag(context, "showDrafted", default=True)
    calendars = [
        responses.render_calendar(context.store, calendar)
        for calendar in context.store.calendars.values()
        if calendar.location_id == context.location_id
        and group_id in (None, context.store.groups.get(calendar.id))
        and (drafted or calendar.is_active)
    ]
    return Result(responses.encode({"calendars": calendars, "traceId": context.trace_id}))


HANDLERS: Final[dict[str, Handler]] = {
    "get_appointment": get_appointment,
    "update_appointment": update_appointment,
    "create_appointment": create,
    "delete_event": delete_event,
    "list_events": list_events,
    "list_blocked_slots": list_blocked_slots,
    "create_block_slot": write_block_slot,
    "update_block_slot": write_block_slot,
    "get_free_slots": get_free_slots,
    "list_notes": list_notes,
    "create_note": create_note,
    "update_note": update_note,
    "delete_note": delete_note,
    "get_calendar": get_calendar,
    "list_calendars": list_calendars,
}


def _find(context: RequestContext) -> BookedAppointment:
    event = context.store.find(context.ids["event_id"])
    if event is None or (event.deleted and not context.quirks.deleted_readable):
        raise Refusal(400, INVALID_EVENT)
    check_location(event.location_id, context.location_id)
    return event


def _show_written(context: RequestContext, event: BookedAppointment) -> Result:
    body = responses.render_update(context.store, event, context.quirks, context.trace_id, version=context.version)
    return Result(body, changed=event.id)


def _show_note(context: RequestContext, note: BookedNote, status: int, event_id: str) -> Result:
    shown = {"note": responses.render_note(context.store, note), "traceId": context.trace_id}
    return Result(responses.encode(shown), status, event_id)


def _find_note(context: RequestContext) -> int:
    notes = context.store.notes[context.ids["event_id"]]
    for position, note in enumerate(notes):
        if note.id == context.ids["note_id"]:
            return position
    raise Refusal(404, "Note not found")  # the text is a guess


def _list(context: RequestContext, *, blocks: bool) -> Result:
    _check_query_location(context)
    chosen = {name: context.query[name] for name in ("userId", "calendarId", "groupId") if name in context.query}
    if not chosen:
        raise Refusal(422, "Either of userId, calendarId or groupId is required")  # the text is a guess
    start, end = _read_range(context, "startTime", "endTime")
    events = [
        responses.render_fields(context.store, event, context.quirks)
        for event in context.store.list_between(context.location_id, start, end)
        if event.is_block is blocks and _is_of(context.store, event, chosen)
    ]
    return Result(responses.encode({"events": events, "traceId": context.trace_id}))


def _check_query_location(context: RequestContext) -> None:
    location_id = context.query.get("locationId")
    if location_id is None:
        raise Refusal(422, ["locationId should not be empty"])
    check_location(location_id, context.location_id)


def _read_users(context: RequestContext) -> list[str]:
    """The users that are asked for, in any of the forms that clients use for a list."""
    texts = [text for name, text in context.pairs if name == "userId" or _USER_IDS.fullmatch(name)]
    return [user for text in texts for user in text.split(",") if user]


def _read_flag(context: RequestContext, name: str, *, default: bool = False) -> bool:
    text = context.query.get(name)
    if text not in (None, "true", "false"):
        raise Refusal(422, [f"{name} must be a boolean value"])
    return default if text is None else text == "true"


def _is_of(store: Store, event: BookedAppointment, chosen: Mapping[str, str]) -> bool:
    group_id = store.groups.get(event.calendar_id)
    own = {"userId": event.assigned_user_id, "calendarId": event.calendar_id, "groupId": group_id}
    return all(own[name] == value for name, value in chosen.items())


def _read_range(context: RequestContext, first: str, last: str) -> tuple[datetime, datetime]:
    start, end = (datetime.fromtimestamp(_read_number(context, name) / 1000, UTC) for name in (first, last))
    if end <= start:
        raise Refusal(422, f"{last} must be after {first}")  # the text is a guess
    return start, end


def _read_number(context: RequestContext, name: str) -> int:
    text = context.query.get(name)
    if text is None or not text.isdigit() or len(text) > 14:
        raise Refusal(422, [f"{name} must be a number string"])
    return int(text)


def _read_note(context: RequestContext) -> tuple[str, str | None]:
    fields = read_texts(_decode(context.body), _NOTE_STRINGS)
    body = fields.get("body", "")
    if not body.strip():
        raise Refusal(422, ["body should not be empty"])
    if len(body) > _LONGEST_NOTE:
        raise Refusal(422, [f"body must be shorter than or equal to {_LONGEST_NOTE} characters"])
    return body, fields.get("user_id")


def _decode(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Refusal(400, "Bad Request") from None
