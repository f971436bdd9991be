"""The admin routes, for other processes: what `Sandbox` offers to Python, over HTTP.

No token is asked for, since only loopback is listened on; nothing here is counted or logged. Whatever cannot
be done is a 400 with an `error`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from .app import SandboxApp
from .oauth import CALENDARS, READ, WRITE
from .rate_limits import Limits
from .store import BookedAppointment

PREFIX: Final = "/_sandbox/"
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


class Edit(Struct, frozen=True):
    """Body of `POST /_sandbox/appointments`."""

    event_id: str
    changes: dict[str, object]
    """By the names of `BookedAppointment`; times in ISO 8601, with an offset."""


class Admin:
    """Answers the admin routes."""

    def __init__(self, app: SandboxApp, reset: Callable[[], None]) -> None:
        self._app = app
        self._reset = reset

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and JSON."""
        try:
            return 200, self._run(f"{method} {path.removeprefix(PREFIX)}", body)
        except KeyError as error:
            return 400, msgspec.json.encode({"error": f"unknown: {error.args[0]}"})
        except (msgspec.MsgspecError, ValueError) as error:
            return 400, msgspec.json.encode({"error": str(error)})

    def _run(self, route: str, body: bytes) -> bytes:
        match route:
            case "GET appointments":
                return self._app.clinic.store.encode()
            case "GET requests":
                return msgspec.json.encode(list(self._app.requests))
            case "GET faults":
                unused = self._app.faults.unused()
                return msgspec.json.encode({name: [str(fault) for fault in left] for name, left in unused.items()})
            case _:
                return msgspec.json.encode(self._change(route, body))

    def _change(self, route: str, body: bytes) -> dict[str, object]:
        match route:
            case "POST appointments":
                return self._edit(msgspec.json.decode(body, type=Edit))
            case "POST clock":
                seconds = msgspec.json.decode(body, type=Advance).seconds
                self._app.advance(seconds)
                return {"advanced": seconds}
            case "POST faults":
                plan = msgspec.json.decode(body, type=FaultPlan)
                self._app.faults.plan(plan.operation, plan.faults)
                return {"planned": len(plan.faults)}
            case "POST limits":
                return self._limit(msgspec.json.decode(body, type=Limits), _read_target(body))
            case "POST reset":
                self._reset()
                return {"appointments": len(self._app.clinic.store)}
            case "POST tokens":
                location_id = _read_target(body) or self._app.clinic.first.id
                return {"token": self._app.tokens.issue("pit", location_id, (READ, WRITE, CALENDARS), "Location")}
            case _:
                raise KeyError(f"admin route {route}")

    def _limit(self, limits: Limits, location_id: str | None) -> dict[str, object]:
        if location_id is None:
            self._app.limits = limits
        else:
            self._app.limit(location_id, limits)
        return {"max_requests": limits.max_requests}

    def _edit(self, edit: Edit) -> dict[str, object]:
        if unknown := edit.changes.keys() - _FIELDS:
            raise ValueError(f"cannot change {', '.join(sorted(unknown))}")
        store = self._app.clinic.store
        wanted = msgspec.to_builtins(store.get(edit.event_id)) | edit.changes
        changed = msgspec.convert(wanted, BookedAppointment)
        store.edit(edit.event_id, {name: getattr(changed, name) for name in edit.changes})
        return {"changed": edit.event_id}


def _read_target(body: bytes) -> str | None:
    return msgspec.json.decode(body or b"{}", type=Target).location_id
