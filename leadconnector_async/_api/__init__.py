"""What HighLevel's API is: its operations, payloads, checks, responses and errors. Pure: nothing here does I/O.

Modules that most programs do not need, such as `_api.notes`, are imported at their first use, so that importing the
package stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import (
        block_slots,
        calendars,
        contacts,
        created,
        creations,
        events,
        free_slots,
        lists,
        notes,
        slot_offers,
    )

__all__ = (
    "block_slots",
    "calendars",
    "contacts",
    "created",
    "creations",
    "events",
    "free_slots",
    "lists",
    "notes",
    "slot_offers",
)

if not TYPE_CHECKING:  # otherwise type checkers would accept any name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(f".{name}", __name__)
