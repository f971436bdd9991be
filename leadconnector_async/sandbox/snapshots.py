"""The whole state as bytes, and back. Dates of changes are left out, so that equal states give equal bytes."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

from .models import BookedAppointment, BookedNote, Calendar, Contact, Group, Stamps, User
from .settings import reject_setting
from .store import Store

_FORMAT: Final = "leadconnector-sandbox-1"


class _Snapshot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["leadconnector-sandbox-1"]
    locations: list[str]
    appointments: list[BookedAppointment]
    """Series and block slots included."""
    notes: dict[str, list[BookedNote]]
    """By the id of their appointment; without dates."""
    contacts: dict[str, str]
    edited_contacts: dict[str, Contact]
    calendars: dict[str, Calendar]
    groups: dict[str, str]
    known_groups: dict[str, Group]
    users: dict[str, User]


_decode: Final = msgspec.json.Decoder(_Snapshot).decode
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def take_snapshot(store: Store) -> bytes:
    """The state as JSON."""
    return _encode(
        _Snapshot(
            format=_FORMAT,
            locations=list(store.locations),
            appointments=sorted(store, key=lambda event: event.id),
            notes={one: list(map(_strip_date, notes)) for one, notes in store.notes.items() if notes},
            contacts=store.contacts,
            edited_contacts=store.contacts.edited,
            calendars=store.calendars,
            groups=store.groups,
            known_groups=store.groups.known,
            users=store.users,
        )
    )


def read_snapshot(data: object, known: Store) -> Store:
    """The state that was saved. What differs from the known state is stamped as changed now.

    Raises `InvalidRequestError`, a `ValueError`, for anything but a snapshot of the same locations.
    """
    try:
        saved = _decode(data if isinstance(data, bytes) else b"")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        shown = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise reject_setting("snapshot", shown, "pass what snapshot() of the same version returned") from None
    if saved.locations != list(known.locations):
        raise reject_setting(
            "snapshot", "another sandbox's", "restore it in a sandbox with the same seed and number of locations"
        )
    return _build_store(saved, known)


def _build_store(saved: _Snapshot, known: Store) -> Store:
    store = Store()
    store.locations.update(known.locations)
    store.calendars.update(saved.calendars)
    store.groups.update(saved.groups)
    store.groups.known.update(saved.known_groups)
    store.users.update(saved.users)
    store.contacts.update(saved.contacts)
    store.contacts.edited.update(saved.edited_contacts)
    for event in saved.appointments:
        store.put(event, _choose_stamps(event, known))
    for event_id, notes in saved.notes.items():
        dated = {note.id: note.date_added for note in known.notes.get(event_id, ())}
        store.notes[event_id] = [
            msgspec.structs.replace(note, date_added=dated.get(note.id, known.now)) for note in notes
        ]
    return store


def _choose_stamps(event: BookedAppointment, known: Store) -> Stamps:
    before, now = known.find(event.id), known.now
    stamps = known.find_stamps(event)
    if before == event or now is None:
        return stamps
    return Stamps(now if before is None else stamps.added, max(now, stamps.updated))


def _strip_date(note: BookedNote) -> BookedNote:
    return msgspec.structs.replace(note, date_added=None)
