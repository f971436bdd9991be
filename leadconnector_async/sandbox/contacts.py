"""Contacts: who they are, and what the routes under `/contacts` show.

Names, numbers and addresses are made up. A seeded contact is made from its id when it is asked for, so that a large
sandbox starts no slower.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from .models import BookedAppointment, Contact
from .store import Store

_NAMES: Final = ("Ada", "Ben", "Cleo", "Dev", "Eva", "Finn", "Gita", "Hugo")
_SURNAMES: Final = ("Abbott", "Barnes", "Cohen", "Desai", "Ellis", "Flores", "Grant")
_ZONES: Final = ("America/New_York", "America/Los_Angeles", "Asia/Kolkata", "Europe/London")
_SEPARATORS: Final = re.compile(r"[\s().-]+")


def name_person(person_id: str) -> tuple[str, str]:
    """A first and a last name for anybody, always the same."""
    number = sum(person_id.encode())
    return _NAMES[number % len(_NAMES)], _SURNAMES[number % len(_SURNAMES)]


def get_contact(store: Store, contact_id: str) -> Contact:
    """Raises `KeyError` for an unknown one."""
    return store.contacts.edited.get(contact_id) or _make(contact_id, store.contacts[contact_id])


def edit_contact(store: Store, contact_id: str, changes: dict[str, object]) -> None:
    """Change a contact by the names of its fields. Raises `KeyError` for an unknown one."""
    store.contacts.edited[contact_id] = msgspec.structs.replace(get_contact(store, contact_id), **changes)


def find_contact(store: Store, location_id: str, *, phone: str, email: str) -> Contact | None:
    """The first contact of a location with that address, or else with that number [doc]."""
    by_phone = None
    for contact in _list_contacts(store, location_id):
        if email and contact.email.lower() == email.lower():
            return contact
        if phone and by_phone is None and _SEPARATORS.sub("", contact.phone) == phone:
            by_phone = contact
    return by_phone


def list_appointments(store: Store, contact_id: str) -> list[BookedAppointment]:
    """What is booked for a contact; a series once, as its master [guess]."""
    found = [one for one in store if one.contact_id == contact_id and not (one.deleted or one.is_block)]
    return sorted(found, key=lambda one: (one.start_time, one.id))


def render_contact(contact: Contact) -> dict[str, object]:
    """A contact with its names in every form that the server has."""
    name = f"{contact.first_name} {contact.last_name}"
    return {
        "id": contact.id,
        "locationId": contact.location_id,
        "name": name,
        "firstName": contact.first_name,
        "lastName": contact.last_name,
        "firstNameLowerCase": contact.first_name.lower(),
        "lastNameLowerCase": contact.last_name.lower(),
        "fullNameLowerCase": name.lower(),
        "email": contact.email,
        "emailLowerCase": contact.email.lower(),
        "phone": contact.phone,
        "timezone": contact.timezone,
        "dnd": False,
        "tags": [],
        "customFields": [],
        "dateAdded": "2027-03-01T16:04:11.201Z",
    }


def render_appointment(store: Store, event: BookedAppointment) -> dict[str, object]:
    """An appointment as the list of a contact shows it: without offsets, in the calendar's zone [guess]."""
    stamps, zone = store.find_stamps(event), ZoneInfo(store.calendars[event.calendar_id].zone)
    moments = {
        "startTime": event.start_time,
        "endTime": event.end_time,
        "dateAdded": stamps.added,
        "dateUpdated": stamps.updated,
    }
    return {
        "id": event.id,
        "calendarId": event.calendar_id,
        "locationId": event.location_id,
        "contactId": event.contact_id,
        "groupId": store.groups.get(event.calendar_id, ""),
        "title": event.title,
        "status": "booked",
        "appointmentStatus": event.appointment_status,
        "assignedUserId": event.assigned_user_id,
        "users": [],
        "notes": "",
        "address": event.address,
        "assignedResources": [],
        **{name: f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}" for name, moment in moments.items()},
    }


def _list_contacts(store: Store, location_id: str) -> Iterator[Contact]:
    for contact_id, home in store.contacts.items():
        if home == location_id:
            yield get_contact(store, contact_id)


def _make(contact_id: str, location_id: str) -> Contact:
    """Its number begins with +999, which is nobody's country code."""
    first, last = name_person(contact_id)
    number = int.from_bytes(hashlib.sha256(contact_id.encode()).digest()[:6]) % 10**11
    email = f"{first}.{last}+{contact_id}@example.com"
    return Contact(contact_id, location_id, first, last, email, f"+999{number:011}", _ZONES[number % len(_ZONES)])
