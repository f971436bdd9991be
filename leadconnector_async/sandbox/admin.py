"""The admin routes, for other processes: what `Sandbox` offers to Python, over HTTP.

`guard` decides who may use them. Nothing is counted or logged; a request that cannot be carried out is a 400 with
an `error`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from ..exceptions import ConfigurationError
from .app import SandboxApp
from .guard import PREFIX
from .models import BookedAppointment
from .oauth import ALL_SCOPES, PIT_APP
from .rate_limits import Limits
from .snapshots import take_snapshot
from .webhook_methods import WebhookMethods, read_loop
from .webhooks import WebhookRules

_FIELDS: Final = frozenset(BookedAppointment.__struct_fields__) - {"id"}


class FaultPlan(Struct, frozen=True):
    """Body of `POST /_sandbox/faults`."""

    operation: str
    faults: list[str]


class Advance(Struct, frozen=True):
    """Body of `POST /_sandbox/clock`."""

    seconds: float


class Target(Struct, frozen=True):
    """In the body of `POST /_sandbox/limits`, beside the limits, and of `POST /_sandbox/tokens`."""

    location_id: str | None = None
    app: str = PIT_APP
    """Of a token."""


class Edit(Struct, frozen=True):
    """Body of `POST /_sandbox/appointments`."""

    event_id: str
    changes: dict[str, object]
    """By the names of `BookedAppointment`; times in ISO 8601, with an offset."""


class Subscription(Struct, frozen=True):
    """Body of `POST /_sandbox/webhooks`."""

    url: str
    rules: WebhookRules = WebhookRules()


class Unsubscription(Struct, frozen=True):
    """Body of `POST /_sandbox/webhooks/remove`."""

    url: str


class Sending(Struct, frozen=True):
    """Body of `POST /_sandbox/webhooks/send`: the parameters of `Sandbox.make_webhook`."""

    url: str
    type: str = "AppointmentUpdate"
    fields: dict[str, object] = {}
    event_id: str | None = None
    location_id: str | None = None
    webhook_id: str | None = None
    age: float = 0.0
    altered: bool = False
    """Whether the body differs from what was signed."""


class Admin:
    """Serves the admin routes."""

    def __init__(
        self,
        app: SandboxApp,
        webhooks: WebhookMethods,
        reset: Callable[[], None],
        restore: Callable[[bytes], None],
    ) -> None:
        self._app = app
        self._webhooks = webhooks
        self._reset = reset
        self._restore = restore

    def respond(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Status code and JSON."""
        try:
            return 200, self._run(f"{method} {path.removeprefix(PREFIX)}", body)
        except KeyError as error:
            return 400, msgspec.json.encode({"error": f"unknown: {error.args[0]}"})
        except (msgspec.MsgspecError, ValueError, ConfigurationError) as error:
            return 400, msgspec.json.encode({"error": str(error)})

    def _run(self, route: str, body: bytes) -> bytes:
        match route:
            case "GET appointments":
                return self._app.store.encode()
            case "GET snapshot":
                return take_snapshot(self._app.store)
            case "GET webhooks":
                webhooks = self._webhooks.webhooks
                shown = {"deliveries": webhooks.deliveries, "dropped": webhooks.dropped}
                return msgspec.json.encode({"key": self._webhooks.webhook_key, **shown})
            case "GET requests":
                return msgspec.json.encode(list(self._app.requests))
            case "GET faults":
                unused = self._app.faults.unused().items()
                return msgspec.json.encode({name: [str(fault) for fault in faults] for name, faults in unused})
            case _:
                return msgspec.json.encode(self._change(route, body))

    def _change(self, route: str, body: bytes) -> dict[str, object]:
        match route:
            case "POST appointments":
                return self._edit(msgspec.json.decode(body, type=Edit))
            case "POST clock":
                seconds = msgspec.json.decode(body, type=Advance).seconds
                self._app.clock.advance(seconds)
                return {"advanced": seconds}
            case "POST faults" | "DELETE faults":
                return self._plan(msgspec.json.decode(body, type=FaultPlan) if route == "POST faults" else None)
            case "POST restore" | "POST reset":
                self._restore(body) if route.endswith("restore") else self._reset()
                return {"appointments": len(self._app.store)}
            case "POST limits" | "POST tokens":
                return self._set_access(route, body)
            case _:
                return self._change_webhooks(route, body)

    def _set_access(self, route: str, body: bytes) -> dict[str, object]:
        target = _read_target(body)
        if route == "POST limits":
            limits = msgspec.json.decode(body, type=Limits)
            self._app.set_limits(target.location_id, limits)
            return {"max_requests": limits.max_requests}
        location_id = target.location_id or self._app.store.first_location.id
        return {"token": self._app.tokens.issue("pit", location_id, ALL_SCOPES, app=target.app)}

    def _change_webhooks(self, route: str, body: bytes) -> dict[str, object]:
        webhooks = self._webhooks.webhooks
        match route:
            case "POST webhooks":
                wanted = msgspec.json.decode(body, type=Subscription)
                webhooks.subscribe(wanted.url, wanted.rules)
                return {"subscribed": wanted.url}
            case "POST webhooks/remove":
                url = msgspec.json.decode(body, type=Unsubscription).url
                webhooks.unsubscribe(url)
                return {"removed": url}
            case "POST webhooks/send":
                return {"webhook_id": self._send(msgspec.json.decode(body, type=Sending))}
            case _:
                raise KeyError(f"admin route {route}")

    def _send(self, wanted: Sending) -> str:
        webhook = self._webhooks.make_webhook(
            wanted.type,
            wanted.fields,
            event_id=wanted.event_id,
            location_id=wanted.location_id,
            webhook_id=wanted.webhook_id,
            age=wanted.age,
        )
        self._webhooks.webhooks.begin(wanted.url, webhook.alter() if wanted.altered else webhook)
        return webhook.webhook_id

    def _plan(self, plan: FaultPlan | None) -> dict[str, object]:
        if plan is None:
            self._app.faults.clear()
            return {"planned": 0}
        self._app.faults.plan(plan.operation, plan.faults)
        return {"planned": len(plan.faults)}

    def _edit(self, edit: Edit) -> dict[str, object]:
        if unknown := edit.changes.keys() - _FIELDS:
            raise ValueError(f"cannot change {', '.join(sorted(unknown))}")
        self._app.move_clock(read_loop())
        store = self._app.store
        wanted = msgspec.to_builtins(store.get(edit.event_id)) | edit.changes
        changed = msgspec.convert(wanted, BookedAppointment)
        store.edit(edit.event_id, {name: getattr(changed, name) for name in edit.changes})
        return {"changed": edit.event_id}


def _read_target(body: bytes) -> Target:
    return msgspec.json.decode(body or b"{}", type=Target)
