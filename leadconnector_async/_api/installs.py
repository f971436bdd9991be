"""List the locations of an agency in which an app is installed."""

from __future__ import annotations

from typing import Final

from ..models import InstalledLocation
from .decode import Read
from .lists import build_inner_reader, read_list
from .operations import reads
from .request import Query, Request

LIST_INSTALLED: Final = reads("list_installed_locations", "/oauth/installedLocations", "2021-07-28")
_MOST: Final = 100
"""Locations of one page [doc]."""
_read_location: Final = build_inner_reader(InstalledLocation)


def _read_locations(body: bytes) -> Read[list[InstalledLocation]]:
    return read_list(body, "locations", _read_location)


def build_list_installed(company_id: str, app_id: str, skip: int) -> Request[list[InstalledLocation]]:
    """One page. Without `isInstalled`, the server lists all locations of the agency [field]."""
    query: Query = {
        "companyId": company_id,
        "appId": app_id,
        "isInstalled": "true",
        "limit": str(_MOST),
        "skip": str(skip),
    }
    return Request(LIST_INSTALLED, LIST_INSTALLED.path, None, _read_locations, query)
