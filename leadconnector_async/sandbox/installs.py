"""Where the app is installed: what connecting and removing it change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime


class Installs:
    """The locations of an agency in which the app is installed."""

    def __init__(self, company_id: str, app_id: str, version_id: str, location_ids: Iterable[str]) -> None:
        self.company_id = company_id
        self.app_id = app_id
        self.version_id = version_id
        self.future = False
        """Whether the app is to be installed in future locations, too: so since an agency connected it."""
        self.location_ids = tuple(location_ids)
        """All locations of the agency."""
        self._since: dict[str, datetime] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._since)}>"

    def add(self, owner_id: str, now: datetime) -> None:
        """A location connects the app, or the agency for all of its locations."""
        self.future = self.future or owner_id == self.company_id
        for location_id in self._list_of(owner_id):
            self._since.setdefault(location_id, now)

    def remove(self, owner_id: str) -> None:
        """A location removes the app, or the agency from all of its locations."""
        self.future = self.future and owner_id != self.company_id
        for location_id in self._list_of(owner_id):
            self._since.pop(location_id, None)

    def find(self, location_id: str) -> datetime | None:
        """Since when the app is installed in a location; `None` if it is not."""
        return self._since.get(location_id)

    def _list_of(self, owner_id: str) -> tuple[str, ...]:
        return self.location_ids if owner_id == self.company_id else (owner_id,)
