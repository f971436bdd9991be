"""What the shared budget needs of a store: read a state with the store's time, and replace it if nobody else has.

No lock and no transaction is held between the two, so a process that is frozen there blocks nobody.
"""

from __future__ import annotations

import secrets
from typing import Final, Protocol

from msgspec import Struct

from ..exceptions import StoreUnavailableError

__all__ = [
    "MISSING",
    "PRIVATE_APP",
    "RELEASE_SECONDS",
    "STORE_SECONDS",
    "TOKEN_SECONDS",
    "Reading",
    "Store",
    "StoreUnavailableError",
    "make_version",
    "try_swap",
]

PRIVATE_APP: Final = "pit"
"""The app of private tokens."""
MISSING: Final = ""
"""The version of a state that does not exist."""
STORE_SECONDS: Final = 1.0
"""What a `read` or `swap` takes at most, connecting included; then it raises `StoreUnavailableError`."""
TOKEN_SECONDS: Final = 5.0
"""What an operation on tokens takes at most, connecting included."""
_TRIED: Final = "check"
"""The key of a state that nobody uses; those of locations have a slash."""
_TRIED_SECONDS: Final = 60.0
RELEASE_SECONDS: Final = 1.0
"""What releasing a lock takes at most."""


class Reading(Struct, frozen=True):
    """A state as it was read, and what the store said about itself in the same round trip."""

    version: str
    """Names this content and no other; `MISSING` if there is none."""
    content: bytes | None
    """`None` if the state does not exist, or no longer."""
    now: float
    """The store's raw clock in seconds: it may jump, and it begins anywhere."""
    server: str
    """Names the incarnation of the server: another name means that it was restarted, or is another server."""
    uptime: float
    """Seconds for which this incarnation has existed, at least."""


class Store(Protocol):
    """One store, opened by its first use; every method may be called from any event loop, also after a fork.

    Raises `StoreUnavailableError` within `STORE_SECONDS` if the store cannot be reached, and `ConfigurationError`
    if its tables are missing, or of another version. Both leave the store usable: the next call connects again.
    """

    async def read(self, key: str) -> Reading:
        """The state of a key, and the store's time."""
        ...

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float) -> bool:
        """Replace the state if it still has this version; returns whether it had.

        After a `StoreUnavailableError` it is not known whether the state was replaced. A state that is not replaced
        for `keep_seconds` may be deleted.
        """
        ...

    async def check(self) -> None:
        """Connect, and check that the store can be read and written."""
        ...

    async def migrate(self) -> None:
        """Create what the store needs, or bring it to this version."""
        ...

    async def aclose(self) -> None:
        """Close the connections. The next use opens them again."""
        ...


def make_version() -> str:
    """A version that never recurs, not even after the store was restarted empty."""
    return secrets.token_hex(8)


async def try_swap(store: Store) -> None:
    """Write a state that nobody uses. Raises what `Store.swap` raises: a replica, for example, can only be read."""
    reading = await store.read(_TRIED)
    await store.swap(_TRIED, reading.version, b"", _TRIED_SECONDS)


def find_version_fault(name: str, found: int | None, wanted: int) -> str | None:
    """Why a store's tables cannot be used by this version of the library; `None` if they can."""
    if found == wanted:
        return None
    if found is not None and found > wanted:
        return (
            f"{name} has tables of version {found}, and this version of the library uses version {wanted}:"
            " install the version that migrated it, or a newer one"
        )
    has = "has no tables yet" if found is None else f"has tables of version {found}, older than version {wanted}"
    return f"{name} {has}; run: leadconnector shared migrate URL"
