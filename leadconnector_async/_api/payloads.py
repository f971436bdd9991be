"""Wire formats that differ from the public models. Fields are snake_case here and renamed on the wire, as there."""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct, UnsetType, field

from ..models import AppointmentFields, BlockSlotFields


class WireUpdate(AppointmentFields, frozen=True, kw_only=True):
    """An `AppointmentUpdate` on the wire: times are strings."""

    calendar_id: str | None | UnsetType = UNSET
    start_time: str | None | UnsetType = UNSET
    end_time: str | None | UnsetType = UNSET


class WireCreate(AppointmentFields, frozen=True, kw_only=True):
    """An `AppointmentCreate` on the wire."""

    calendar_id: str
    location_id: str | UnsetType = UNSET
    contact_id: str
    start_time: str
    end_time: str | None | UnsetType = UNSET


class WireBlockSlot(BlockSlotFields, frozen=True, kw_only=True):
    """A block slot on the wire."""

    start_time: str | None | UnsetType = UNSET
    end_time: str | None | UnsetType = UNSET


class NoteText(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The body of creating and updating a note."""

    body: str
    user_id: str | None = None


class MisspeltStatus(Struct, frozen=True):
    """The server's misspelt key, sometimes the only one that carries the status [field]."""

    appointment_status: str | None = field(name="appoinmentStatus", default=None)


class WireEvent(Struct, frozen=True, rename="camel"):
    """The body of a webhook, with its fields not decoded yet."""

    type: Raw = Raw()
    app_id: Raw = Raw()
    company_id: Raw = Raw()
    location_id: Raw = Raw()
    webhook_id: Raw = Raw()
    timestamp: Raw = Raw()
    appointment: Raw = Raw()
    """Where the pages of the appointment events have it [doc]."""
    data: Raw = Raw()
    """Where the examples of the webhook guide have the content of any event [doc]."""
