"""Read contacts, find them by phone number or email address, and list the appointments of one.

The API documents these operations under a version of their own, which is sent whatever the client's is [doc].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Final, Literal, TypeAlias, TypeVar

from msgspec import Raw, Struct

from .._secret import Held, Personal, Secret, conceal
from .._validation.arguments import check_location, refuse
from .._validation.text import show
from ..exceptions import DecodeError, InvalidRequestError
from ..models import Appointment, Contact, ContactAppointment
from .decode import Read, Reader, begins
from .lists import EMPTY, TRACE, decode_entries, decode_fields, read_each, read_list
from .operations import reads
from .request import Query, Request, encode_id

S = TypeVar("S", bound=Struct)

VERSION: Final = "2021-07-28"
GET_CONTACT: Final = reads("get_contact", "/contacts/{}", VERSION)
LIST_CONTACT_APPOINTMENTS: Final = reads("list_contact_appointments", "/contacts/{}/appointments", VERSION)
FIND_CONTACTS: Final = reads("get_duplicate_contact", "/contacts/search/duplicate", VERSION)
Selector: TypeAlias = Literal["phone", "email"]
Sought: TypeAlias = dict[Selector, Secret | Held]
"""What to search for; personal data."""
_WIRE_NAMES: Final[dict[Selector, str]] = {"phone": "number", "email": "email"}
_SHAPES: Final[dict[Selector, Callable[[], re.Pattern[str]]]] = {
    "phone": partial(re.compile, r"\+?[0-9]{5,20}"),
    "email": partial(re.compile, r"[^\s@]{1,100}@[^\s@]{1,200}"),
}
_KEYS: Final = ("contact", "contacts")
_WORDS: Final[dict[Selector, str]] = {"phone": "phone number", "email": "email address"}
_HINTS: Final[dict[Selector, str]] = {
    "phone": "pass it with its country code, such as '+442079460123'",
    "email": "pass an address such as 'ada@example.com'",
}
_SEPARATORS: Final = partial(re.compile, r"(?<=\d)\s*\(0\)|[\s().-]+")
"""With `(0)`, which is written after a country code but not dialled: `+44 (0)20 7946 0123`."""


def _build_reader(struct_type: type[S]) -> Callable[[bytes | Raw], Read[S]]:
    """Made at its first use, to keep the import fast."""
    reader: Reader[S] | None = None

    def read(content: bytes | Raw) -> Read[S]:
        nonlocal reader
        reader = reader or Reader(struct_type)
        return reader.read(content)

    return read


_read_flat: Final = _build_reader(Contact)
_read_appointment: Final = _build_reader(ContactAppointment)


def read_contact(body: bytes) -> Read[Contact]:
    """A contact, with or without its envelope. Raises `ValueError` if there is none, or one without an id."""
    inner = decode_fields(body or EMPTY).get("contact", body)
    read = _read_flat(inner)
    if not read.value.id:
        raise ValueError("it contains no contact with an id")
    return read


def read_contacts(body: bytes) -> Read[list[Contact]]:
    """The contacts that match: none, one, or more, whichever way the response says so [guess].

    The reference has no schema for this response. A contact that cannot be read is an error: it may be the one.
    A response that names no contact at all, such as `{}`, is an error too: if nobody matches, it is `null` [field].
    """
    fields = decode_fields(body or EMPTY)
    named = [fields[key] for key in _KEYS if key in fields] or ([Raw(body)] if "id" in fields else [])
    inner = next((one for one in named if not begins(one, b"n")), None)
    if inner is None:
        unknown = ", ".join(map(show, sorted(fields.keys() - {*_KEYS, TRACE})[:3]))
        if unknown or not named:
            raise ValueError(f"it has no 'contact'{unknown and f', but {unknown}'}")
        return Read([])
    entries = decode_entries(inner) if begins(inner, b"[") else [Raw(inner)]
    read = read_each([one for one in entries if bytes(one).strip() not in (b"{}", b"null")], "contacts", _read_flat)
    if not all(contact.id for contact in read.value) or any(name.endswith("]") for name in read.unread):
        raise ValueError("it contains a contact that cannot be read, or has no id")
    return read


def read_contact_appointments(body: bytes) -> Read[list[ContactAppointment]]:
    """A list of appointments, whose times stay the text that they are."""
    return read_list(body, "events", _read_appointment)


def build_get_contact(contact_id: str) -> Request[Contact]:
    """Check the id."""
    path = GET_CONTACT.path.format(encode_id(contact_id, "contact_id"))
    return Request(GET_CONTACT, path, None, read_contact, asked_id=contact_id)


def build_list_contact_appointments(contact_id: str) -> Request[list[ContactAppointment]]:
    """Check the id."""
    operation = LIST_CONTACT_APPOINTMENTS
    path = operation.path.format(encode_id(contact_id, "contact_id"))
    return Request(operation, path, None, read_contact_appointments)


def conceal_sought(phone: object, email: object) -> Sought:
    """What a user has passed to search for, masked, because errors show the locals of functions."""
    given: dict[Selector, object] = {"phone": phone, "email": email}
    return {selector: conceal(value) for selector, value in given.items() if value is not None}


def refuse_selectors(field: str, given: Iterable[str], known: str) -> InvalidRequestError:
    """The error for a contact that is named in no way, or in several."""
    names = " and ".join(given)
    reason = f"{names} are given" if names else "no contact is named"
    return refuse(field, Held(None), reason, f"pass exactly one of {known}")


def explain_no_match(sought: Sought) -> str:
    """Say that no contact has this; for a phone number without a country code, that it may need one."""
    words = " or ".join(_WORDS[selector] for selector in sought)
    phone = sought.get("phone")
    is_local = isinstance(phone, str) and not phone.lstrip(" (").startswith("+")
    advice = f" It does not begin with +: {_HINTS['phone']}." if is_local else ""
    return f"No contact of the location has this {words}.{advice}"


def group_by_calendar(appointments: Iterable[ContactAppointment]) -> dict[str, list[str]]:
    """Ids of appointments by their calendar; by `""` where no calendar is known. Nothing depends on their times.

    Raises `DecodeError` for one that shows neither id nor calendar: without it, the result would look complete.
    """
    found: dict[str, list[str]] = {}
    for one in appointments:
        if not (one.id or one.calendar_id):
            text = "An appointment of the contact has neither an id nor a calendar, so it cannot be found."
            raise DecodeError(text, operation=LIST_CONTACT_APPOINTMENTS.name, outcome="not_applied")
        found.setdefault(one.calendar_id or "", []).extend([one.id] if one.id else [])
    return found


def is_of_contact(event: Appointment, contact_ids: Collection[str], known: Mapping[str, Collection[str]]) -> bool:
    """By its contact; or, if it shows none, by the ids in the list of the contact's appointments."""
    if event.contact_id is not None:
        return event.contact_id in contact_ids
    return any(event.id in event_ids for event_ids in known.values())


def build_find_contacts(
    location_id: str | None, selector: Selector, value: Secret | Held
) -> Request[list[Contact]]:
    """Check what to search for. It is personal data, so no error shows it, and no response can echo it."""
    location_id = check_location(location_id)
    sought = _check_sought(selector, value)
    query: Query = {"locationId": location_id, _WIRE_NAMES[selector]: sought}
    return Request(FIND_CONTACTS, FIND_CONTACTS.path, None, read_contacts, query, hidden=(sought,))


def _check_sought(selector: Selector, value: Secret | Held) -> Personal:
    if isinstance(value, Held):
        raise refuse(selector, value, f"it is a {value.kind}, not a string", _HINTS[selector])
    sought = Personal(_SEPARATORS().sub("", value) if selector == "phone" else value.strip())
    if not (_SHAPES[selector]().fullmatch(sought) and sought.isprintable()):
        raise refuse(selector, Held(value), f"it is not a valid {_WORDS[selector]}", _HINTS[selector])
    return sought
