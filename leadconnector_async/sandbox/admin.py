"""The admin routes, for other processes: what `Sandbox` offers to Python, over HTTP.

`guard` decides who may use them. Nothing is counted or logged; a request that cannot be carried out is a 400 with
an `error`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from .app import SandboxApp
from .guard import PREFIX
from .models import BookedAppointment
from .oauth import ALL_SCOPES, PIT_APP
from .rate_limits import Limits

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


class Admin:
    """Serves the admin routes."""

    def __init__(self, app: SandboxApp, reset: Callable[[], None]) -> None:
        self._app = app
        self._reset = reset

    def respond(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Status code and JSON."""
        try:
            return 200, self._run(f"{method} {path.removeprefix(PREFIX)}", body)
        except KeyError as error:
            return 400, msgspec.json.encode({"error": f"unknown: {error.args[0]}"})
        except (msgspec.MsgspecError, ValueError) as error:
            return 400, msgspec.json.encode({"error": str(error)})

    def _run(self, route: str, body: bytes) -> bytes:
        match route:
            case "GET appointments":
                return self._app.store.encode()
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
            case "POST faults":
                plan = msgspec.json.decode(body, type=FaultPlan)
                self._app.faults.plan(plan.operation, plan.faults)
                return {"planned": len(plan.faults)}
            case "POST limits":
                limits = msgspec.json.decode(body, type=Limits)
                self._app.set_limits(_read_target(body).location_id, limits)
                return {"max_requests": limits.max_requests}
            case "POST reset":
                self._reset()
                return {"appointments": len(self._app.store)}
            case "POST tokens":
                target = _read_target(body)
                location_id = target.location_id or self._app.store.first_location.id
                return {"token": self._app.tokens.issue("pit", location_id, ALL_SCOPES, app=target.app)}
            case _:
                raise KeyError(f"admin route {route}")

    def _edit(self, edit: Edit) -> dict[str, object]:
        if unknown := edit.changes.keys() - _FIELDS:
            raise ValueError(f"cannot change {', '.join(sorted(unknown))}")
        store = self._app.store
        wanted = msgspec.to_builtins(store.get(edit.event_id)) | edit.changes
        changed = msgspec.convert(wanted, BookedAppointment)
        store.edit(edit.event_id, {name: getattr(changed, name) for name in edit.changes})
        return {"changed": edit.event_id}


def _read_target(body: bytes) -> Target:
    return msgspec.json.decode(body or b"{}", type=Target)
