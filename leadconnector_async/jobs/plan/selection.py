"""Which of the listed appointments go into a plan."""

from __future__ import annotations

import unicodedata
from typing import get_args

from msgspec import Struct

from ...exceptions import ConfigurationError
from ...models import Appointment, AppointmentStatus
from ..hours import TimesOfDay
from .shift import find_zone
from .spelling import find_word


class Selection(Struct, frozen=True, kw_only=True):
    """What an appointment must be to go into a plan; all of it."""

    title: str | None = None
    """A text that its title contains, in upper or lower case."""
    contacts: frozenset[str] = frozenset()
    """Ids of contacts, one of which it is for; empty: all."""
    assignees: frozenset[str] = frozenset()
    """Ids of users, one of whom it is assigned to; empty: all."""
    times: TimesOfDay | None = None
    """Its wall-clock time at the start, in the plan's zone."""
    not_statuses: frozenset[str] = frozenset()
    """Statuses that it must not have."""

    def explain(self, event: Appointment, timezone: str | None) -> str | None:
        """Why an appointment is not selected; `None` if it is."""
        if event.appointment_status in self.not_statuses:
            return f"its status is {event.appointment_status}"
        if self.title is not None and _fold(self.title) not in _fold(event.title or ""):
            return "its title is another one"
        if self.contacts and event.contact_id not in self.contacts:
            return "it is for another contact"
        if self.assignees and event.assigned_user_id not in self.assignees:
            return "it is assigned to somebody else"
        return None if self.times is None else _explain_time(event, self.times, timezone)


def _fold(text: str) -> str:
    """Without case, and with each accented letter as one character: macOS writes é as two."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _explain_time(event: Appointment, times: TimesOfDay, timezone: str | None) -> str | None:
    if event.start_time is None:
        return "the server does not show its start"
    start = event.start_time.astimezone(find_zone(timezone)) if timezone else event.start_time
    return None if start.time() in times else f"it does not begin in {times}"


def check_status(text: str) -> str:
    """A status in the spelling of the API. Raises `ConfigurationError` for a word that is not one."""
    known = get_args(AppointmentStatus)
    status = find_word(text, known)
    if status not in known:
        raise ConfigurationError(f"{text!r} is not a status; use one of {', '.join(known)}")
    return status
