"""Staff, locations and groups of calendars: what reading names and time zones needs."""

from __future__ import annotations

from .contacts import name_person
from .context import RequestContext, Result, check_query_location, respond
from .models import User
from .store import Store
from .updates import Refusal, check_location


def list_users(context: RequestContext) -> Result:
    """The staff of a location: everybody in a team of one of its calendars."""
    check_query_location(context)
    users = [_render_user(context, user) for user in _find_users(context.store, context.location_id)]
    return respond(context, {"users": users})


def get_user(context: RequestContext) -> Result:
    """A member of the staff, without an envelope [doc]."""
    user = context.store.users.get(context.ids["user_id"])
    if user is None:
        raise Refusal(400, "User not found")  # status and text are guesses
    if not _is_of_agency(context) and user not in _find_users(context.store, context.location_id):
        raise Refusal(403, "The token does not have access to this user.")  # status and text are guesses
    return respond(context, _render_user(context, user))


def get_location(context: RequestContext) -> Result:
    """A location, with its time zone: the token's own, or any of an agency's."""
    location_id = context.ids["location_id"]
    if not _is_of_agency(context):
        check_location(location_id, context.location_id)
    location = context.store.locations.get(location_id)
    if location is None:
        raise Refusal(400, "Location not found")  # status and text are guesses
    shown = {
        "id": location.id,
        "companyId": context.installs.company_id,
        "name": location.name,
        "address": location.address,
        "timezone": location.zone,
    }
    return respond(context, {"location": shown})


def list_groups(context: RequestContext) -> Result:
    """The groups of calendars of a location."""
    check_query_location(context)
    groups = [
        {
            "id": group.id,
            "locationId": group.location_id,
            "name": group.name,
            "description": "",
            "slug": group.name.lower().replace(" ", "-"),
            "isActive": True,
        }
        for group in context.store.groups.known.values()
        if group.location_id == context.location_id
    ]
    return respond(context, {"groups": groups})


def _is_of_agency(context: RequestContext) -> bool:
    return context.location_id == context.installs.company_id


def _find_users(store: Store, location_id: str) -> list[User]:
    calendars = [one for one in store.calendars.values() if one.location_id == location_id]
    ids = dict.fromkeys(user_id for calendar in calendars for user_id in calendar.team)
    return [store.users[user_id] for user_id in ids if user_id in store.users]


def _render_user(context: RequestContext, user: User) -> dict[str, object]:
    """A name of its own for everybody; who it is shown to decides nothing."""
    first, last = name_person(user.id)
    homes = dict.fromkeys(one.location_id for one in context.store.calendars.values() if user.id in one.team)
    return {
        "id": user.id,
        "name": f"{first} {last}",
        "firstName": first,
        "lastName": last,
        "email": f"{first}.{last}+{user.id}@example.com".lower(),
        "phone": "",
        "extension": "",
        "roles": {"type": "account", "role": "user", "locationIds": list(homes)},
        "deleted": False,
    }
