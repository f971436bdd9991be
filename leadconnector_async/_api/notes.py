"""List, update and delete the notes of an appointment."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from .._validation.arguments import check_id, check_text, refuse
from ..exceptions import DecodeError
from ..models import Note
from .decode import Read
from .errors import UNREADABLE
from .lists import build_inner_reader, list_entries, read_each, read_verdict
from .operations import creates, deletes, reads, updates
from .payloads import NoteText
from .request import Query, Request, encode_id, encode_payload

_NOTES: Final = "/calendars/appointments/{}/notes"
LIST_NOTES: Final = reads("list_notes", _NOTES)
CREATE_NOTE: Final = creates("create_note", _NOTES)
UPDATE_NOTE: Final = updates("update_note", f"{_NOTES}/{{}}", harmless=True)
DELETE_NOTE: Final = deletes("delete_note", f"{_NOTES}/{{}}")


class NotePage(Struct, frozen=True):
    """One page of notes."""

    notes: list[Note]
    has_more: bool
    count: int = 0
    """Entries of the page, including those that cannot be decoded."""


class _More(Struct, frozen=True, rename="camel"):
    has_more: bool | None = None


_decode_more: Final = msgspec.json.Decoder(_More, strict=False).decode
read_note: Final = build_inner_reader(Note)


def read_notes(body: bytes) -> Read[NotePage]:
    """One page of notes."""
    entries = list_entries(body, "notes")
    read = read_each(entries.value, "notes", read_note)
    page = NotePage(read.value, _reads_more(body), len(entries.value))
    return Read(page, entries.unread + read.unread)


def _reads_more(body: bytes) -> bool:
    try:
        return _decode_more(body).has_more is True
    except UNREADABLE:
        return False


NOTES_ON_A_PAGE: Final = 20
"""The most notes per response [doc]."""
LONGEST_NOTE: Final = 5000
"""The most characters of a note [doc]."""


def build_list_notes(event_id: str, offset: int) -> Request[NotePage]:
    """One page of the notes of an appointment."""
    path = LIST_NOTES.path.format(encode_id(event_id))
    query: Query = {"limit": NOTES_ON_A_PAGE, "offset": offset}
    return Request(LIST_NOTES, path, None, read_notes, query)


def explain_repeated(offset: int) -> DecodeError:
    """The error of a page that lists what earlier ones did."""
    text = f"The notes from number {offset} on are those of earlier pages again, so the list has no end."
    return DecodeError(text, operation=LIST_NOTES.name, outcome="not_applied")


def build_update_note(event_id: str, note_id: str, body: str, user_id: str | None) -> Request[Note]:
    """Check and encode the change of a note."""
    path = UPDATE_NOTE.path.format(encode_id(event_id), encode_id(note_id, "note_id"))
    return Request(UPDATE_NOTE, path, encode_payload(check_note(body, user_id)), read_note, asked_id=note_id)


def build_delete_note(event_id: str, note_id: str) -> Request[bool]:
    """Check the ids."""
    path = DELETE_NOTE.path.format(encode_id(event_id), encode_id(note_id, "note_id"))
    return Request(DELETE_NOTE, path, None, read_verdict)


def check_note(body: str, user_id: str | None) -> NoteText:
    """Check the text and the author of a note. Raises `InvalidRequestError`."""
    text = check_text("body", body, lines=True)
    if not text.strip():
        raise refuse("body", body, "the note is empty", "pass its text")
    if len(text) > LONGEST_NOTE:
        hint = f"shorten it to at most {LONGEST_NOTE}, or write several notes"
        raise refuse("body", body, f"the note has {len(text)} characters", hint)
    return NoteText(body=text, user_id=None if user_id is None else check_id("user_id", user_id))
