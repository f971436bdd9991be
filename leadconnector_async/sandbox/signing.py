"""What a webhook of the sandbox contains, and its signature.

The key is made from the seed, so anybody can sign with it: a program must not accept it in production.
Needs cryptography, which is loaded with the first signature.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import msgspec
from msgspec import Struct

from ..exceptions import ConfigurationError
from .faults import Quirks
from .models import BookedAppointment
from .responses import Fields, encode, render_event
from .store import Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

APPOINTMENT_TYPES: Final = ("AppointmentCreate", "AppointmentUpdate", "AppointmentDelete")
HEADER: Final = "X-GHL-Signature"
_SHOWN: Final = (
    *("id", "address", "title", "calendarId", "contactId", "groupId", "appointmentStatus", "assignedUserId"),
    *("users", "notes", "startTime", "endTime", "dateAdded", "dateUpdated"),
)
"""Of the appointment in a webhook [doc], beside its `source`."""


class SignedWebhook(Struct, frozen=True):
    """A webhook that is ready to be sent: post `body` with `headers`. Sent twice, it is a repeated delivery."""

    type: str
    """Such as `AppointmentUpdate`."""
    webhook_id: str
    """The same in all deliveries of this event."""
    body: bytes
    """JSON."""
    headers: dict[str, str]
    """With the signature."""

    def alter(self) -> SignedWebhook:
        """The same signature with another body, as if somebody had changed it on the way."""
        fields = msgspec.json.decode(self.body, type=dict[str, object])
        return msgspec.structs.replace(self, body=encode(fields | {"locationId": "altered"}))


class Signer:
    """An Ed25519 key made from a seed: the same seed gives the same key."""

    def __init__(self, seed: int) -> None:
        self._secret = hashlib.sha256(f"{seed}:webhook key".encode()).digest()
        self._loaded: Ed25519PrivateKey | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def _key(self) -> Ed25519PrivateKey:
        if self._loaded is None:
            self._loaded = _load_key(self._secret)
        return self._loaded

    @property
    def public_key(self) -> str:
        """In PEM. Raises `ConfigurationError` without cryptography."""
        key = self._key.public_key()
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - as below

        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(
        self, event_type: str, fields: Mapping[str, object], at: float, webhook_id: str | None = None
    ) -> SignedWebhook:
        """A webhook of any type, sent at that Unix time. Raises `ConfigurationError` without cryptography.

        Its id is random: a receiver that keeps a record of them takes none for one of an earlier run.
        """
        webhook_id = webhook_id or str(uuid4())
        sent = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        stamped = {"timestamp": f"{sent[:23]}Z", "webhookId": webhook_id}
        body = encode({"type": event_type, **stamped, **fields})
        signature = base64.b64encode(self._key.sign(body)).decode()
        return SignedWebhook(event_type, webhook_id, body, {"Content-Type": "application/json", HEADER: signature})


def render_appointment(store: Store, event: BookedAppointment) -> Fields:
    """The fields of an appointment's webhook beside its type and its id [doc]."""
    shown = render_event(store, event, Quirks(misspelt_status="never"))
    appointment = {name: shown[name] for name in _SHOWN} | {"source": "booking_widget"}
    return {"locationId": event.location_id, "appointment": appointment}


def choose_type(known: BookedAppointment | None, event: BookedAppointment) -> str | None:
    """The type of the webhook about a change; `None` if there is none, as for a block slot [guess].

    A change of one instance of a series is an update [guess].
    """
    if event.is_block or (event.deleted and known is not None and known.deleted):
        return None
    if event.deleted:
        return "AppointmentDelete"
    is_new = known is None and event.master_event_id is None
    return "AppointmentCreate" if is_new else "AppointmentUpdate"


def _load_key(secret: bytes) -> Ed25519PrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise ConfigurationError(
            "the sandbox signs webhooks with an extra: pip install 'leadconnector-async[testing]'"
        ) from None
    return Ed25519PrivateKey.from_private_bytes(secret)
