"""The routes: which operation a method and a path are, and what its token needs."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from . import agency, handlers, people
from .context import Handler
from .oauth import CALENDARS, CONTACTS, GROUPS, LOCATIONS, OAUTH_READ, READ, USERS, WRITE, UserType


class Route(Struct, frozen=True):
    """An operation by the vendor's name, the scope that its token needs, its method and path, and who serves it."""

    operation: str
    scope: str
    method: str
    path: str
    handler: Handler
    user_types: tuple[UserType, ...] = ("Location",)
    """Whose token it takes."""
    version: str | None = None
    """The only version that has it."""


def _build_installed_route(path: str, version: str | None = None) -> Route:
    handler = agency.list_installed_locations
    return Route("list_installed_locations", OAUTH_READ, "GET", path, handler, ("Company",), version)


_ANYBODY: Final[tuple[UserType, ...]] = ("Location", "Company")
_NOTES: Final = "/calendars/appointments/{event_id}/notes"
_APPOINTMENTS: Final = "/calendars/events/appointments"
_BLOCKS: Final = "/calendars/events/block-slots"
_CONTACT: Final = "/contacts/{contact_id}"
ROUTES: Final = (
    Route("create_appointment", WRITE, "POST", _APPOINTMENTS, handlers.create),
    Route("get_appointment", READ, "GET", f"{_APPOINTMENTS}/{{event_id}}", handlers.get_appointment),
    Route("update_appointment", WRITE, "PUT", f"{_APPOINTMENTS}/{{event_id}}", handlers.update_appointment),
    Route("create_block_slot", WRITE, "POST", _BLOCKS, handlers.write_block_slot),
    Route("update_block_slot", WRITE, "PUT", f"{_BLOCKS}/{{event_id}}", handlers.write_block_slot),
    Route("list_events", READ, "GET", "/calendars/events", handlers.list_events),
    Route("delete_event", WRITE, "DELETE", "/calendars/events/{event_id}", handlers.delete_event),
    Route("list_blocked_slots", READ, "GET", "/calendars/blocked-slots", handlers.list_blocked_slots),
    Route("list_notes", READ, "GET", _NOTES, handlers.list_notes),
    Route("create_note", WRITE, "POST", _NOTES, handlers.create_note),
    Route("update_note", WRITE, "PUT", f"{_NOTES}/{{note_id}}", handlers.update_note),
    Route("delete_note", WRITE, "DELETE", f"{_NOTES}/{{note_id}}", handlers.delete_note),
    Route("get_free_slots", CALENDARS, "GET", "/calendars/{calendar_id}/free-slots", handlers.get_free_slots),
    Route("list_calendars", CALENDARS, "GET", "/calendars/?", handlers.list_calendars),
    Route("list_groups", GROUPS, "GET", "/calendars/groups", people.list_groups),
    Route("get_calendar", CALENDARS, "GET", "/calendars/{calendar_id}", handlers.get_calendar),
    Route("get_duplicate_contact", CONTACTS, "GET", "/contacts/search/duplicate", handlers.get_duplicate_contact),
    Route(
        "list_contact_appointments", CONTACTS, "GET", f"{_CONTACT}/appointments", handlers.list_contact_appointments
    ),
    Route("get_contact", CONTACTS, "GET", _CONTACT, handlers.get_contact),
    Route("list_users", USERS, "GET", "/users/?", people.list_users),
    Route("get_user", USERS, "GET", "/users/(?!search$){user_id}", people.get_user, _ANYBODY),
    Route("get_location", LOCATIONS, "GET", "/locations/(?!search$){location_id}", people.get_location, _ANYBODY),
    _build_installed_route("/oauth/installedLocations"),
    _build_installed_route("/oauth/installed-locations", "v3"),
)
"""As in the real API, the first path that matches counts, and a known path with a wrong method is not found."""
_PATTERNS: Final = {
    path: re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)) for path in {one.path for one in ROUTES}
}


def find_route(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a percent-encoded path, and the ids in it; `None` if there is none."""
    for route in ROUTES:
        if route.method == method and (match := _PATTERNS[route.path].fullmatch(path)):
            return route, {name: unquote(value) for name, value in match.groupdict().items()}
    return None
