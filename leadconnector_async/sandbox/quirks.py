"""The oddities of the real server that the sandbox shows, each with its own switch.

Pure.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .settings import check_switch, check_word


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
    empty_answer: bool = False
    """A successful update answers `{}`."""

    def __post_init__(self) -> None:
        check_word("misspelt_status", self.misspelt_status, ("both", "only", "never"))
        for name in self.__struct_fields__:
            if name != "misspelt_status":
                check_switch(name, getattr(self, name))
