"""Scripted faults, and the quirks of the real server, each with its own switch."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from .._validation.settings import to_text
from .._validation.text import show
from ..exceptions import InvalidRequestError
from .settings import check_switch, check_word

FaultKind: TypeAlias = Literal[
    "ok", "status", "after-apply", "reset", "lose-response", "stall", "half-body", "html"
]

_WORDS: Final[dict[str, FaultKind]] = {
    "ok": "ok",
    "reset": "reset",
    "lose-response": "lose-response",
    "half-body": "half-body",
}
_STATUS: Final = re.compile(r"(?P<status>[345]\d\d)(?P<applied>-after-apply)?(?: retry-after=(?P<after>\S{1,40}))?")
_STALL: Final = re.compile(r"stall (?P<seconds>\d{1,4}(?:\.\d{1,3})?)")
_HTML: Final = re.compile(r"html (?P<status>[245]\d\d)")
_MEND: Final = (
    "use ok, 503, '503 retry-after=2', 503-after-apply, reset, lose-response, 'stall 0.2', half-body or 'html 502'"
)


class Fault(Struct, frozen=True):
    """One thing that goes wrong. Its text is what `Fault.parse` reads.

    | text | what happens |
    | --- | --- |
    | `ok` | nothing: a place holder in a sequence |
    | `503`, `503 retry-after=2` | an error answer; nothing is applied |
    | `503-after-apply` | the update is applied, then an error answer |
    | `reset` | the connection is cut; nothing is applied |
    | `lose-response` | the update is applied, then the connection is cut |
    | `stall 0.2` | the answer takes 0.2 s longer; the update is applied |
    | `half-body` | the update is applied, half of the answer comes |
    | `html 502`, `html 200` | a page of the edge, or of a network, instead of an answer; nothing is applied |
    """

    kind: FaultKind
    status: int = 0
    seconds: float = 0.0
    retry_after: str | None = None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read a fault's text. Raises `InvalidRequestError`, a `ValueError`."""
        text = to_text(text) or show(text)
        if kind := _WORDS.get(text):
            return cls(kind)
        if match := _STATUS.fullmatch(text):
            kind = "after-apply" if match["applied"] else "status"
            return cls(kind, int(match["status"]), retry_after=match["after"])
        if match := _STALL.fullmatch(text):
            return cls("stall", seconds=float(match["seconds"]))
        if match := _HTML.fullmatch(text):
            return cls("html", int(match["status"]))
        raise InvalidRequestError(f"unknown fault {show(text)}: {_MEND}", field="fault", value=text, hint=_MEND)

    def __str__(self) -> str:
        match self.kind:
            case "status" | "after-apply":
                applied = "-after-apply" if self.kind == "after-apply" else ""
                return f"{self.status}{applied}{f' retry-after={self.retry_after}' if self.retry_after else ''}"
            case "stall":
                return f"stall {self.seconds:g}"
            case "html":
                return f"html {self.status}"
            case _:
                return self.kind


class FaultScript:
    """The planned faults of each operation."""

    def __init__(self, plans: Mapping[str, Sequence[Fault | str]] | None = None) -> None:
        self._plans: dict[str, deque[Fault]] = {}
        for operation, faults in (plans or {}).items():
            self.plan(operation, faults)

    def plan(self, operation: str, faults: Iterable[Fault | str]) -> None:
        """Add faults behind those that are planned already. Raises `ValueError` for an unknown text."""
        parsed = [fault if isinstance(fault, Fault) else Fault.parse(fault) for fault in faults]
        self._plans.setdefault(operation, deque()).extend(parsed)

    def take(self, operation: str) -> Fault:
        """The fault for the next request of an operation."""
        plan = self._plans.get(operation)
        return plan.popleft() if plan else Fault("ok")

    def unused(self) -> dict[str, list[Fault]]:
        """Planned faults that no request has met; empty if all were used up."""
        return {operation: list(plan) for operation, plan in self._plans.items() if plan}

    def clear(self) -> None:
        """Forget all that is planned."""
        self._plans.clear()


class Quirks(Struct, frozen=True, kw_only=True):
    """What is odd about the real server. Seen on real accounts by September 2026 [field]."""

    status_reset: bool = True
    """An update without `appointmentStatus` puts `showed` and `noshow` back to `confirmed`."""
    assignee_offset: bool = True
    """Answers render times in the assignee's offset; else in the calendar's."""
    deleted_readable: bool = True
    """A deleted event can still be read, with `"deleted": true`."""
    misspelt_status: Literal["both", "only", "never"] = "both"
    """Whether `appoinmentStatus` stands beside, instead of, or not at all with the right key."""
    string_booleans: bool = False
    """`isRecurring` comes as `"true"` or `"false"`."""
    self_collision: bool = True
    """An update that sends an appointment's own times collides with itself while the slot is checked."""
    location_lost: bool = True
    """`meetingLocationType` without `address` loses the address."""
    empty_response: bool = False
    """A successful update answers `{}`."""

    def __post_init__(self) -> None:
        check_word("misspelt_status", self.misspelt_status, ("both", "only", "never"))
        for name in self.__struct_fields__:
            if name != "misspelt_status":
                check_switch(name, getattr(self, name))
