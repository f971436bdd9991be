"""Read and update appointments."""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec
from msgspec import Raw, Struct

from ..inputs import Payload
from ..models import Appointment, AppointmentUpdate
from .decode import Read, begins, make_later
from .errors import UNREADABLE
from .operations import EVENTS, creates, reads, updates
from .payloads import MisspeltStatus, WireUpdate
from .readback import compare_update
from .request import (
    Guard,
    Proof,
    Request,
    encode,
    encode_id,
    get_appointment_reader,
)
from .validate import check_update

_APPOINTMENTS: Final = f"{EVENTS}/appointments"


CREATE_APPOINTMENT: Final = creates("create_appointment", _APPOINTMENTS)
GET_APPOINTMENT: Final = reads("get_appointment", f"{_APPOINTMENTS}/{{}}")
UPDATE_APPOINTMENT: Final = updates("update_appointment", f"{_APPOINTMENTS}/{{}}")


class _Envelope(Struct, frozen=True):
    event: Raw = Raw()
    appointment: Raw = Raw()


_get_envelope_decoder: Final = make_later(_Envelope)
_get_misspelt_decoder: Final = make_later(MisspeltStatus)
_APPOINTMENT_PATH: Final = GET_APPOINTMENT.path.format("")
"""The update uses the same path."""


def build_update_appointment(
    event_id: str,
    update: Payload[AppointmentUpdate],
    version: str = "",
    precondition: Guard[Appointment] | None = None,
) -> Request[Appointment]:
    """Check and encode an update. Raises `InvalidRequestError`."""
    path = _APPOINTMENT_PATH + encode_id(event_id)
    wire = check_update(update, version)
    read, prove = partial(read_appointment, event_id), partial(_prove_update, event_id, wire)
    return Request(
        UPDATE_APPOINTMENT,
        path,
        encode(wire),
        read,
        None,
        prove,
        precondition=precondition,
        asked_id=event_id,
        changed_id=event_id,
    )


def build_get_appointment(event_id: str) -> Request[Appointment]:
    """Check the id. Raises `InvalidRequestError`."""
    path = _APPOINTMENT_PATH + encode_id(event_id)
    return Request(GET_APPOINTMENT, path, None, partial(read_appointment, event_id), asked_id=event_id)


def read_appointment(event_id: str, body: bytes | Raw) -> Read[Appointment]:
    """Read an appointment out of any response; `event_id` is the fallback for a missing id."""
    content: bytes | Raw = body or b"{}"
    try:
        read = Read(get_appointment_reader().decode(content))
    except UNREADABLE:
        read = get_appointment_reader().read(content)
    if read.value.id is None and (inner := _unwrap(content)) is not None:
        content = inner
        read = get_appointment_reader().read(content)
    value = read.value
    if value.id and value.appointment_status:
        return read
    status = value.appointment_status or _read_misspelt(content)
    value = msgspec.structs.replace(value, id=value.id or event_id, appointment_status=status)
    return Read(value, read.unread)


def _prove_update(event_id: str, sent: WireUpdate) -> Proof[Appointment]:
    return Proof(build_get_appointment(event_id), partial(compare_update, sent))


def _unwrap(content: bytes | Raw) -> Raw | None:
    envelope = _get_envelope_decoder().decode(content)
    for inner in (envelope.event, envelope.appointment):
        if begins(inner, b"{"):
            return inner
    return None


def _read_misspelt(content: bytes | Raw) -> str | None:
    try:
        return _get_misspelt_decoder().decode(content).appointment_status
    except UNREADABLE:
        return None


def read_created(body: bytes | Raw) -> Read[Appointment]:
    """An appointment whose id is known only from the response."""
    read = read_appointment("", body)
    return Read(msgspec.structs.replace(read.value, id=read.value.id or None), read.unread)


def read_deleted(event_id: str, body: bytes) -> Read[bool]:
    """Whether the response marks an event as deleted."""
    return Read(read_appointment(event_id, body).value.deleted is True)
