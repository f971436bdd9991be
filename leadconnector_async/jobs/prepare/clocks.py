"""Reads by what clock calendars show their free slots: one request each, or two for a plan longer than a month."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from ..._api.free_slots import LONGEST_FREE_SLOTS
from ...client import LeadConnector
from ...exceptions import LeadConnectorError
from .zones import Calendar, CalendarZones

MOST_CALENDARS: Final = 100
"""How many are asked; the timezone of any other is that of its appointments."""


async def read_clocks(zones: CalendarZones, find_client: Callable[[str], LeadConnector]) -> None:
    """Learn the zones of calendars. What cannot be read is left out: the token may lack the scope for calendars."""

    async def read(calendar: Calendar, first: datetime, last: datetime) -> None:
        location, calendar_id = calendar
        client = find_client(location).with_options(priority="bulk")
        begin = max(first.astimezone(UTC), datetime.now(UTC))
        begins = (begin, last.astimezone(UTC)) if last > begin + LONGEST_FREE_SLOTS else (begin,)
        try:
            for one in begins:
                days = await client.get_free_slots(calendar_id, one, one + LONGEST_FREE_SLOTS)
                zones.learn_slots(calendar, (slot for day in days.values() for slot in day))
        except LeadConnectorError:
            return

    await asyncio.gather(*(read(*one) for one in zones.list_calendars()[:MOST_CALENDARS]))
