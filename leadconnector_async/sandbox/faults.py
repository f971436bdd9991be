"""Scripted faults, and the quirks of the real server, each with its own switch."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from .._validation.settings import to_text
from .._validation.text import show
from ..exceptions import InvalidRequestError
from .settings import check_operation, check_switch, check_word

FaultKind: TypeAlias = Literal[
    "ok", "status", "after-apply", "reset", "lose-response", "late", "stall", "half-body", "cut", "html"
]
"""What happens; see `Fault`."""

_WORDS: Final[dict[str, FaultKind]] = {
    "ok": "ok",
    "reset": "reset",
    "lose-response": "lose-response",
    "half-body": "half-body",
}
_STATUS: Final = re.compile(r"(?P<status>[345]\d\d)(?P<applied>-after-apply)?(?: retry-after=(?P<after>\S{1,40}))?")
_STALL: Final = re.compile(r"stall (?P<seconds>\d{1,4}(?:\.\d{1,3})?)")
_LATE: Final = re.compile(r"late (?P<seconds>\d{1,4}(?:\.\d{1,3})?)")
_CUT: Final = re.compile(r"cut (?P<count>\d{1,6})")
_HTML: Final = re.compile(r"html (?P<status>[245]\d\d)")
_HINT: Final = (
    "use ok, 503, '503 retry-after=2', 503-after-apply, reset, lose-response, 'late 2', 'stall 0.2', half-body, "
    "'cut 120' or 'html 502'"
)


class Fault(Struct, frozen=True):
    """One thing that goes wrong. Its text is what `Fault.parse` reads.

    | text | what happens |
    | --- | --- |
    | `ok` | nothing: a placeholder in a sequence |
    | `503`, `503 retry-after=2` | an error response; nothing is applied |
    | `503-after-apply` | the change is applied, then an error response follows |
    | `reset` | the connection is cut; nothing is applied |
    | `lose-response` | the change is applied, then the connection is cut |
    | `late 2` | the connection is cut; the change is applied 2 s later |
    | `stall 0.2` | the change is applied; the response takes 0.2 s longer |
    | `half-body` | the change is applied; half of the response arrives |
    | `cut 120` | the change is applied; the first 120 bytes of the response arrive, its headers included |
    | `html 502`, `html 200` | an HTML page of a proxy or a network instead of a response; nothing is applied |
    """

    kind: FaultKind
    """What happens."""
    status: int = 0
    """Status code of the response, if there is one."""
    seconds: float = 0.0
    """Of `late` and `stall`."""
    retry_after: str | None = None
    """The header `Retry-After` of an error response, if any."""
    count: int = 0
    """Bytes of the response that arrive."""

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read a fault's text. Raises `InvalidRequestError`, a `ValueError`.

        `text` is such as `503`; see the table.
        """
        text = to_text(text) or show(text)
        if kind := _WORDS.get(text):
            return cls(kind)
        if match := _STATUS.fullmatch(text):
            kind = "after-apply" if match["applied"] else "status"
            return cls(kind, int(match["status"]), retry_after=match["after"])
        if match := _STALL.fullmatch(text):
            return cls("stall", seconds=float(match["seconds"]))
        if match := _LATE.fullmatch(text):
            return cls("late", seconds=float(match["seconds"]))
        if match := _CUT.fullmatch(text):
            return cls("cut", count=int(match["count"]))
        if match := _HTML.fullmatch(text):
            return cls("html", int(match["status"]))
        raise InvalidRequestError(f"unknown fault {show(text)}: {_HINT}", field="fault", value=text, hint=_HINT)

    def __str__(self) -> str:
        match self.kind:
            case "status" | "after-apply":
                applied = "-after-apply" if self.kind == "after-apply" else ""
                return f"{self.status}{applied}{f' retry-after={self.retry_after}' if self.retry_after else ''}"
            case "stall" | "late":
                return f"{self.kind} {self.seconds:g}"
            case "cut":
                return f"cut {self.count}"
            case "html":
                return f"html {self.status}"
            case _:
                return self.kind


_NO_FAULT: Final = Fault("ok")


class FaultScript:
    """The planned faults of each operation."""

    def __init__(self, operations: Iterable[str]) -> None:
        self._operations = tuple(operations)
        self._plans: dict[str, deque[Fault]] = {}

    def plan(self, operation: str, faults: Iterable[Fault | str]) -> None:
        """Append faults to those that are planned already. Raises `ValueError` for an unknown operation or text.

        `operation` is such as `update_appointment`; `faults` are met by its next requests, in order.
        """
        check_operation(operation, self._operations)
        parsed = [fault if isinstance(fault, Fault) else Fault.parse(fault) for fault in faults]
        self._plans.setdefault(operation, deque()).extend(parsed)

    def take(self, operation: str) -> Fault:
        """The fault for the next request of an operation."""
        plan = self._plans.get(operation)
        return plan.popleft() if plan else _NO_FAULT

    def unused(self) -> dict[str, list[Fault]]:
        """Planned faults that no request has met yet; empty if all were used."""
        return {operation: list(plan) for operation, plan in self._plans.items() if plan}

    def clear(self) -> None:
        """Remove all planned faults."""
        self._plans.clear()


class Quirks(Struct, frozen=True, kw_only=True):
    """What is odd about the real server. Observed on real accounts by September 2026 [field]."""

    status_reset: bool = True
    """An update without `appointmentStatus` resets `showed` and `noshow` to `confirmed`."""
    assignee_offset: bool = True
    """Responses render times in the assignee's offset; otherwise in the calendar's."""
    deleted_readable: bool = True
    """A deleted event can still be read, with `"deleted": true`."""
    misspelt_status: Literal["both", "only", "never"] = "both"
    """Whether responses contain `appoinmentStatus` beside the correct key, instead of it, or never."""
    string_booleans: bool = False
    """`isRecurring` is `"true"` or `"false"`."""
    self_collision: bool = True
    """An update that sends an appointment's own times fails the slot check because of itself."""
    location_lost: bool = True
    """`meetingLocationType` without `address` clears the address."""
    empty_response: bool = False
    """The response to a successful update is `{}`."""

    def __post_init__(self) -> None:
        check_word("misspelt_status", self.misspelt_status, ("both", "only", "never"))
        for name in self.__struct_fields__:
            if name != "misspelt_status":
                check_switch(name, getattr(self, name))
