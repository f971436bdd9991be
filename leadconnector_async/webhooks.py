"""Webhooks: verify the signature of a delivery and read its event.

Nothing of a body is read before its signature was verified over the raw bytes. Needs the extra `webhooks`.

A delivery, according to HighLevel's webhook guide and the pages of its events in September 2026:

- `X-GHL-Signature` is an Ed25519 signature of the raw body, in base64. `X-WH-Signature`, RSA with SHA-256, is the
  older one; the guide says that it ends on 1 September 2026 [doc]. Its padding is PKCS#1 v1.5, the default of the
  guide's example. If the newer header is present, it alone decides [doc].
- One published key signs for every app and every location [doc]. So a valid signature means that HighLevel sent the
  webhook, but perhaps not to you: compare `location_id` with your own.
- The body contains `timestamp` (ISO 8601) and `webhookId` in the guide's examples [doc], in the types of
  HighLevel's SDK, and in deliveries to marketplace apps in August 2026 [field]. The examples of the appointment
  events have neither [doc]; that real ones have them is a [guess].
- Without a 2xx response, a webhook is sent again, up to 12 times with growing intervals, and by hand with the
  original payload [doc]; so a late retry probably has the first `timestamp` [guess].
- The webhook action of a workflow sends no signature at all [field], so its requests are rejected.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Raw

from ._api.appointments import read_appointment
from ._api.errors import UNREADABLE
from ._api.payloads import WireEvent
from ._model import Model
from ._validation.settings import check_clock, check_flag, to_text
from ._validation.text import show, show_error
from .exceptions import ConfigurationError, StaleWebhookError, UnreadableWebhookError, WebhookSignatureError
from .models import Appointment

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "webhooks need an extra: pip install 'leadconnector-async[webhooks]'", name=error.name
    ) from error

__all__ = ["WebhookEvent", "WebhookVerifier"]

T = TypeVar("T")

_Check: TypeAlias = Callable[[bytes, bytes], None]
"""Takes a signature and the signed bytes; raises `InvalidSignature`."""

_NEW_HEADER: Final = "x-ghl-signature"
_OLD_HEADER: Final = "x-wh-signature"
_APPOINTMENT_TYPES: Final = ("AppointmentCreate", "AppointmentUpdate", "AppointmentDelete")
_FUTURE_SECONDS: Final = 60.0
"""How far HighLevel's clock may be ahead of ours."""
_decode_event: Final = msgspec.json.Decoder(WireEvent).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_time: Final = msgspec.json.Decoder(datetime).decode


class WebhookEvent(Model, frozen=True, kw_only=True):
    """The event of a verified webhook, whatever its type."""

    type: str
    """`AppointmentCreate`, `AppointmentUpdate` or `AppointmentDelete` [doc], any other word, or empty."""
    app_id: str | None = None
    """Of `INSTALL` and `UNINSTALL`: the app [doc]. Compare it with your own."""
    company_id: str | None = None
    """Of `INSTALL` and `UNINSTALL`: the agency, if it is named [doc]."""
    location_id: str | None = None
    """The location of the event. Compare it with your own: events of others are signed with the same key."""
    webhook_id: str | None = None
    """The same for each delivery of an event. Record the ids that you have processed and skip them, because an
    event can be delivered more than once [doc]; the package keeps no record."""
    timestamp: datetime | None = None
    """When the event was first sent [guess]."""
    appointment: Appointment | None = None
    """The appointment, as the client returns it; `None` for every other type, and if it cannot be found."""
    unread: tuple[str, ...] = ()
    """Names of the fields that could not be read, such as `appointment.start_time`."""


class WebhookVerifier:
    """Verifies that webhooks come from HighLevel, and reads their events.

    `ed25519_key` and `rsa_key` are the public keys from HighLevel's webhook guide, PEM as text or bytes. Without
    `rsa_key`, the older signature is not accepted. `clock` returns Unix time in seconds.

    An event more than `max_age_seconds` old is rejected, because a signed body remains valid forever: an attacker
    could send a copy of it. Events that HighLevel repeats after your server was down are rejected as well; with a
    record of each `webhook_id` you can allow hours, or `float("inf")`.

    `require_timestamp=False` accepts events without a timestamp. They are rejected by default, although the
    examples of the appointment events have none [doc]: actual deliveries have been seen to contain one [field],
    and without one a copy remains valid forever. Switch it off only if you keep a record of the events that you
    have processed.

    Raises `ConfigurationError` for an invalid key or number.
    """

    __slots__ = ("_check_new", "_check_old", "_clock", "_max_age", "_require_timestamp")

    def __init__(
        self,
        ed25519_key: str | bytes,
        rsa_key: str | bytes | None = None,
        *,
        max_age_seconds: float = 300.0,
        require_timestamp: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if isinstance(max_age_seconds, bool) or not isinstance(max_age_seconds, int | float):
            raise ConfigurationError(f"max_age_seconds is {show(max_age_seconds)}; it must be a number")
        if not max_age_seconds > 0:
            raise ConfigurationError(f"max_age_seconds is {show(max_age_seconds)}; it must be more than 0")
        check_flag("require_timestamp", require_timestamp)
        self._check_new = _load_ed25519(ed25519_key)
        self._check_old = None if rsa_key is None else _load_rsa(rsa_key)
        self._max_age = max_age_seconds
        self._require_timestamp = require_timestamp
        self._clock = check_clock(clock)

    @property
    def max_age_seconds(self) -> float:
        """The greatest age of an event that is accepted."""
        return self._max_age

    def verify(self, body: bytes, headers: Mapping[str, str]) -> WebhookEvent:
        """Verify a delivery and return its event.

        `body` is the raw body: JSON that was decoded and encoded again does not match its signature. The names of
        `headers` are case-insensitive.

        Raises `WebhookSignatureError`, `StaleWebhookError` or `UnreadableWebhookError`, all `WebhookError`s.
        Without a 2xx response, HighLevel sends the webhook again [doc].
        """
        if not isinstance(body, bytes):
            raise WebhookSignatureError(
                f"The body is of type {type(body).__name__}; pass the raw bytes, because they were signed."
            )
        self._check_signature(body, headers)
        event = _read_event(body)
        if event is None:
            raise UnreadableWebhookError(
                f"The signature is valid, but the body ({len(body)} bytes) is not a readable JSON object. "
                "Respond with 2xx, so that it is not sent again, and report it to HighLevel."
            )
        self._check_age(event.timestamp)
        return event

    def _check_signature(self, body: bytes, headers: Mapping[str, str]) -> None:
        sent = _list_headers(headers)
        if _NEW_HEADER in sent:
            _compare(self._check_new, _NEW_HEADER, sent[_NEW_HEADER], body)
        elif _OLD_HEADER not in sent:
            raise WebhookSignatureError(
                f"There is no {_NEW_HEADER} header, so anybody may have sent this. Reject it; if your webhooks "
                "come from HighLevel, make sure that no proxy removes the header."
            )
        elif self._check_old is None:
            raise WebhookSignatureError(
                f"There is only the older {_OLD_HEADER} header, and no key for it. Reject the webhook, or pass "
                "rsa_key= as long as HighLevel still sends this header."
            )
        else:
            _compare(self._check_old, _OLD_HEADER, sent[_OLD_HEADER], body)

    def _check_age(self, timestamp: datetime | None) -> None:
        if timestamp is None:
            if self._require_timestamp:
                raise StaleWebhookError(
                    "The event has no readable timestamp, so it may be a copy of an old one. Keep a record of the "
                    "events that you have processed, then pass require_timestamp=False."
                )
            return
        age = self._clock() - timestamp.timestamp()
        if age > self._max_age:
            raise StaleWebhookError(
                f"The event is {age:.0f} seconds old, and max_age_seconds is {self._max_age:g}: it may be a copy "
                "or a late delivery. Read the appointment instead, or keep a record of each webhook_id "
                "and increase max_age_seconds."
            )
        if age < -_FUTURE_SECONDS:
            raise StaleWebhookError(f"The event is from {-age:.0f} seconds in the future; check your clock.")


def _list_headers(headers: object) -> dict[str, str]:
    """Return the headers by their lower-case names. `None` counts as missing; bytes (of ASGI servers) are decoded.

    Raises `WebhookSignatureError` for anything that cannot be headers, so that every malformed request is rejected.
    """
    if not isinstance(headers, Mapping):
        raise WebhookSignatureError(
            f"The headers are of type {type(headers).__name__}; pass the request's headers as a mapping."
        )
    try:
        pairs = [(_decode_header(name), value) for name, value in cast("Mapping[object, object]", headers).items()]
    except Exception as error:
        raise WebhookSignatureError(f"The headers cannot be read ({show_error(error)}).") from None
    listed: dict[str, str] = {}
    for name, value in pairs:
        if name is None or value is None or name.lower() not in (_NEW_HEADER, _OLD_HEADER):
            continue
        text = _decode_header(value)
        if text is None:
            raise WebhookSignatureError(f"The {name} header is of type {type(value).__name__}; pass a string.")
        listed[name.lower()] = text
    return listed


def _decode_header(value: object) -> str | None:
    return value.decode("latin-1") if isinstance(value, bytes) else to_text(value)


def _load_ed25519(pem: str | bytes) -> _Check:
    key = _load_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise _refuse_key("ed25519_key", "an Ed25519")
    return key.verify


def _load_rsa(pem: str | bytes) -> _Check:
    key = _load_key(pem)
    if not isinstance(key, RSAPublicKey):
        raise _refuse_key("rsa_key", "an RSA")
    return partial(key.verify, padding=PKCS1v15(), algorithm=SHA256())


def _load_key(pem: str | bytes) -> object:
    try:
        return load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
    except (ValueError, TypeError, UnsupportedAlgorithm, OverflowError):
        return None


def _refuse_key(name: str, kind: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} is not {kind} public key in PEM; copy it from '-----BEGIN PUBLIC KEY-----' to "
        "'-----END PUBLIC KEY-----', with its line breaks"
    )


def _compare(check: _Check, header: str, text: str, body: bytes) -> None:
    signature = _decode_base64(text)
    if signature is None:
        raise WebhookSignatureError(f"The {header} header is not valid base64. Reject the webhook.")
    if not _is_signed(check, signature, body):
        raise WebhookSignatureError(
            f"The signature in the {header} header does not match the body. Reject the webhook; if all are "
            "rejected, pass the raw body, and compare the key with the one in HighLevel's webhook guide."
        )


def _decode_base64(text: str) -> bytes | None:
    """Accept only the canonical encoding, so that a signature has exactly one spelling."""
    try:
        signature = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return signature if base64.b64encode(signature).decode() == text else None


def _is_signed(check: _Check, signature: bytes, body: bytes) -> bool:
    try:
        check(signature, body)
    except InvalidSignature:
        return False
    return True


def _read_event(body: bytes) -> WebhookEvent | None:
    try:
        return _read_fields(_decode_event(body), body)
    except UNREADABLE:
        return None


def _read_fields(wire: WireEvent, body: bytes) -> WebhookEvent:
    unread: list[str] = []
    event_type = _read_field("type", wire.type, _decode_text, unread) or ""
    timestamp = _read_field("timestamp", wire.timestamp, _decode_aware, unread)
    location_id = _read_field("location_id", wire.location_id, _decode_text, unread)
    webhook_id = _read_field("webhook_id", wire.webhook_id, _decode_text, unread)
    appointment = _read_appointment(wire, body, unread) if event_type in _APPOINTMENT_TYPES else None
    return WebhookEvent(
        type=event_type,
        app_id=_read_field("app_id", wire.app_id, _decode_text, unread),
        company_id=_read_field("company_id", wire.company_id, _decode_text, unread),
        location_id=location_id,
        webhook_id=webhook_id,
        timestamp=timestamp,
        appointment=appointment,
        unread=tuple(unread),
    )


def _read_field(name: str, raw: Raw, decode: Callable[[Raw], T], unread: list[str]) -> T | None:
    if bytes(raw) in (b"", b"null"):
        return None
    try:
        return decode(raw)
    except UNREADABLE:
        unread.append(name)
        return None


def _decode_aware(raw: Raw) -> datetime:
    instant = _decode_time(raw)
    if instant.tzinfo is None:
        raise ValueError("a time without an offset is not an instant")
    return instant


def _read_appointment(wire: WireEvent, body: bytes, unread: list[str]) -> Appointment | None:
    """Read it from `appointment` [doc], `data` [doc], or the body itself, which must then have an id [guess]."""
    inner = next((bytes(raw) for raw in (wire.appointment, wire.data) if bytes(raw).startswith(b"{")), None)
    read = read_appointment("", body if inner is None else inner)
    if inner is None and not read.value.id:
        unread.append("appointment")
        return None
    unread.extend(f"appointment.{name}" for name in read.unread)
    return msgspec.structs.replace(read.value, id=read.value.id or None)
