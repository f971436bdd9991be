"""What `Sandbox` does about webhooks: they are made, signed and sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

import msgspec

from .app import SandboxApp
from .models import BookedAppointment
from .settings import check_duration, reject_setting
from .signing import APPOINTMENT_TYPES, SignedWebhook, Signer, choose_type, render_appointment
from .webhooks import Webhooks


def read_loop() -> float:
    """The event loop's time; outside of a loop, `time.monotonic`, on which loops are based."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


class WebhookMethods:
    """A part of `Sandbox`."""

    def _prepare_webhooks(self, app: SandboxApp, seed: int, url: str | None, hosts: Iterable[str]) -> None:
        self._app = app
        self.webhooks = Webhooks(hosts)
        self._signer = Signer(seed)
        if url is not None:
            self.webhooks.subscribe(url)
        self._app.store.on_change = self._notify

    @property
    def webhook_key(self) -> str:
        """The public key of its webhooks, in PEM, for a `WebhookVerifier` in a test: it is made from the seed.

        Raises `ConfigurationError` without the extra `testing` or `webhooks`.
        """
        return self._signer.public_key

    def time(self) -> float:
        """The time that webhooks are stamped with, in Unix seconds: the real one, set forward as the clock was.

        A test that sets the clock forward passes this to its verifier: `WebhookVerifier(key, clock=sandbox.time)`.
        """
        return self._app.clock.read_time(read_loop())

    def make_webhook(
        self,
        event_type: str = "AppointmentUpdate",
        fields: Mapping[str, object] | None = None,
        *,
        event_id: str | None = None,
        location_id: str | None = None,
        webhook_id: str | None = None,
        age: float = 0.0,
    ) -> SignedWebhook:
        """A signed webhook that was first sent `age` seconds ago; `webhook_id` is random by default.

        `event_type` is such as `AppointmentUpdate` or `INSTALL`; `location_id` is the location, the first by
        default. One about an appointment contains it as it is: `event_id`, or else the first. Any other, such as
        `INSTALL`, contains the ids of the app, the agency and the location. `fields` are added to its body. Raises
        `KeyError` for an unknown appointment.
        """
        _check_texts(event_type=event_type, event_id=event_id, location_id=location_id, webhook_id=webhook_id)
        if not isinstance(fields, Mapping | None):
            raise reject_setting("fields", fields, "it must be a mapping of names to JSON values")
        check_duration("age", age, may_be_zero=True)
        store = self._app.store
        if event_type in APPOINTMENT_TYPES:
            ids = store.first_location.appointment_ids
            if event_id is None and not ids:
                raise reject_setting("event_id", event_id, "the sandbox has no appointments of its own; name one")
            shown = render_appointment(store, store.get(event_id or ids[0]))
        else:
            installs, location = self._app.token_endpoint.installs, store.first_location.id
            shown = {"appId": installs.app_id, "companyId": installs.company_id, "locationId": location}
            shown |= {"installType": "Location"} if event_type == "INSTALL" else {}
        named = {} if location_id is None else {"locationId": location_id}
        body = {**shown, **named, **(fields or {})}
        try:
            return self._signer.sign(event_type, body, self.time() - age, webhook_id)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise reject_setting("fields", type(fields).__name__, f"it must hold JSON values ({error})") from None

    async def send_webhook(
        self,
        url: str,
        webhook: SignedWebhook | str = "AppointmentUpdate",
        fields: Mapping[str, object] | None = None,
        *,
        event_id: str | None = None,
        location_id: str | None = None,
    ) -> int:
        """Post a webhook once, or a new one of this type, as `make_webhook` makes it; returns the status code.

        `url` is where to. `webhook` is one that `make_webhook` made, or a type; `fields`, `event_id` and
        `location_id` are then those of `make_webhook`.

        Raises `ConnectionError` without a response, and `InvalidRequestError`, a `ValueError`, for a host that is
        neither loopback nor one of `webhook_hosts`.
        """
        if not isinstance(webhook, SignedWebhook):
            webhook = self.make_webhook(webhook, fields, event_id=event_id, location_id=location_id)
        return await self.webhooks.send(url, webhook)

    def _notify(self, known: BookedAppointment | None, event: BookedAppointment) -> None:
        event_type = choose_type(known, event) if self.webhooks.has_subscribers else None
        if event_type is not None:
            shown = render_appointment(self._app.store, event)
            self.webhooks.notify(self._signer.sign(event_type, shown, self.time()))


def _check_texts(**texts: object) -> None:
    for name, text in texts.items():
        if not (isinstance(text, str) or (text is None and name != "event_type")):
            raise reject_setting(name, text, "it must be a string")
