"""What a client may do: read only, write, or write once somebody has approved it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from ._validation.settings import check_choice
from ._validation.text import show
from .exceptions import ConfigurationError, ReadOnlyError
from .models import Appointment

Access: TypeAlias = Literal["read", "write"]
"""`read`: every write is refused before anything is sent."""


class PendingWrite(Struct, frozen=True, kw_only=True):
    """A write that waits for approval. Contains no token."""

    operation: str
    """Such as `update_appointment`; for `request`, method and path."""
    method: str
    """The HTTP method, such as `PUT`."""
    path: str
    """Percent-encoded."""
    query: Mapping[str, str | int | Sequence[str]] | None = None
    """The query parameters, if there are any."""
    location_id: str | None = None
    """The client's."""
    event_id: str | None = None
    """The appointment that it changes or deletes; `None` for anything else."""
    before: Appointment | None = None
    """That appointment as it was last read. `None` for creations, block slots, notes and `request`."""
    after: object = None
    """The JSON that will be sent, decoded: for an update, only the fields that it sets. `None` without a body."""


Approve: TypeAlias = Callable[[PendingWrite], Awaitable[bool]]
"""An async function that returns `True` to let a write through. Anything else, or an exception, refuses it."""


def check_access(value: object, name: str = "access") -> Access:
    """Raise `ConfigurationError` unless it is an access."""
    return "read" if check_choice(name, value, get_args(Access)) == "read" else "write"


def check_approve(value: object) -> None:
    """Raise `ConfigurationError` unless it can be called."""
    if value is not None and not callable(value):
        raise ConfigurationError(f"approve is {show(value)}; it must be an async function")


_ALLOW: Final = "create it with access='write', and without LEADCONNECTOR_ACCESS=read"


def check_may_write(access: Access, operation: str, allow: str = _ALLOW) -> None:
    """Raise `ReadOnlyError` if a client may only read. `allow`: what to do so that it may write."""
    if access != "write":
        raise ReadOnlyError(
            f"{operation} writes, and this client may only read: nothing was sent. To allow writes, {allow}.",
            operation=operation,
        )
