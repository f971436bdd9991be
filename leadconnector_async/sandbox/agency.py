"""What an agency's token reads: in which of its locations the app is installed."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from .context import RequestContext, Result, read_flag, read_number, require, respond
from .models import Location
from .responses import render_stamp
from .updates import Refusal

_PAGE: Final = 20
_LONGEST_PAGE: Final = 100


class _PageToken(Struct):
    skip: Annotated[int, Meta(ge=0)]


class ArgumentRefusal(Refusal):
    """A refusal in the shape of version v3's newer routes: a code and its reason [doc]."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, message)
        self.code = code


def list_installed_locations(context: RequestContext) -> Result:
    """The locations of the agency, each with whether the app is installed in it [doc].

    The versions before v3 skip so many and tell how many locations the agency has; v3 has pages.
    """
    is_v3 = context.version == "v3"
    _check_app(context, is_v3=is_v3)
    found = [one for one in context.store.locations.values() if _is_wanted(context, one)]
    if not is_v3:
        skip, limit = read_number(context, "skip", 0), read_number(context, "limit", _PAGE)
        page = [_render(context, location) for location in found[skip : skip + limit]]
        fields: dict[str, object] = {"locations": page, "count": len(context.store.locations)}
    else:
        skip, size = _read_page(context)
        page = [_render(context, location) for location in found[skip : skip + size]]
        fields = {"items": page, "pagination": _describe_page(len(found), skip, size, len(page)), "metadata": {}}
    return respond(context, {**fields, "installToFutureLocations": context.installs.future})


def _check_app(context: RequestContext, *, is_v3: bool) -> None:
    company_id, app_id = require(context, "companyId"), require(context, "appId")
    if company_id != context.location_id:
        raise Refusal(403, "The token does not have access to this company.")  # status and text are guesses
    if app_id != context.installs.app_id:
        if is_v3:
            raise ArgumentRefusal(404, "RESOURCE_NOT_FOUND", f"The requested App '{app_id}' was not found.")
        raise Refusal(400, "Bad Request")  # a guess


def _is_wanted(context: RequestContext, location: Location) -> bool:
    query, installs = context.query, context.installs
    is_installed = installs.find(location.id) is not None
    if "isInstalled" in query and read_flag(context, "isInstalled") is not is_installed:
        return False
    if read_flag(context, "onTrial") or query.get("versionId", installs.version_id) != installs.version_id:
        return False
    named = query.get("locationId", location.id) == location.id
    return named and query.get("query", "").casefold() in location.name.casefold()


def _render(context: RequestContext, location: Location) -> dict[str, object]:
    since = context.installs.find(location.id)
    shown: dict[str, object] = {
        "_id": location.id,
        "name": location.name,
        "address": location.address,
        "isInstalled": since is not None,
    }
    if since is not None:
        shown |= {"versionId": context.installs.version_id, "installedAt": render_stamp(since)}
    return shown


def _read_page(context: RequestContext) -> tuple[int, int]:
    """How many to skip, and how many a page has."""
    size = read_number(context, "pageSize", _PAGE)
    if not 1 <= size <= _LONGEST_PAGE:
        message = f"pageSize must be between 1 and {_LONGEST_PAGE}"
        raise ArgumentRefusal(400, "INVALID_ARGUMENT", message)  # the text is a guess
    token = context.query.get("pageToken")
    if token is None:
        return 0, size
    try:
        padded = token + "=" * (-len(token) % 4)
        return msgspec.json.decode(urlsafe_b64decode(padded), type=_PageToken).skip, size
    except (ValueError, msgspec.MsgspecError):
        raise ArgumentRefusal(400, "INVALID_ARGUMENT", "pageToken is invalid") from None  # the text is a guess


def _describe_page(total: int, skip: int, size: int, shown: int) -> dict[str, object]:
    page: dict[str, object] = {
        "totalRecords": total,
        "hasNextPage": skip + size < total,
        "hasPrevPage": skip > 0,
        "currentPageSize": shown,
    }
    if skip + size < total:
        page["nextPageToken"] = _make_page_token(skip + size)
    if skip > 0:
        page["prevPageToken"] = _make_page_token(max(0, skip - size))
    return page


def _make_page_token(skip: int) -> str:
    return urlsafe_b64encode(msgspec.json.encode(_PageToken(skip))).decode().rstrip("=")
