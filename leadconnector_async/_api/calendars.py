"""Read and list calendars."""

from __future__ import annotations

from typing import Final

from .._validation.arguments import check_id, check_location
from ..models import Calendar
from .decode import Read
from .lists import build_inner_reader, read_list
from .operations import reads
from .request import Query, Request, encode_flag, encode_id

GET_CALENDAR: Final = reads("get_calendar", "/calendars/{}")
LIST_CALENDARS: Final = reads("list_calendars", "/calendars/")
read_calendar: Final = build_inner_reader(Calendar)


def read_calendars(body: bytes) -> Read[list[Calendar]]:
    """A list of calendars."""
    return read_list(body, "calendars", read_calendar)


def build_get_calendar(calendar_id: str) -> Request[Calendar]:
    """Check the id."""
    path = GET_CALENDAR.path.format(encode_id(calendar_id, "calendar_id"))
    return Request(GET_CALENDAR, path, None, read_calendar, asked_id=calendar_id)


def build_list_calendars(
    location_id: str | None, *, group_id: str | None = None, show_drafted: bool | None = None
) -> Request[list[Calendar]]:
    """The calendars of a location, or of one of its groups."""
    operation = LIST_CALENDARS
    query: Query = {"locationId": check_location(location_id)} | encode_flag(
        "showDrafted", "show_drafted", show_drafted
    )
    if group_id is not None:
        query = {**query, "groupId": check_id("group_id", group_id)}
    return Request(operation, operation.path, None, read_calendars, query)
