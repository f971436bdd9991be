"""Entries of the operating system's keyring, through the library `keyring` (extra `keyring`).

Each entry is under a service of its own: Windows moves the entries of one service to and fro, so two processes that
write different ones could lose one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import keyring
from keyring.errors import KeyringLocked, NoKeyringError

from .._api.errors import redact
from .._secret import Secret
from .._validation.text import shorten, show_error
from ..exceptions import TokenStoreError

T = TypeVar("T")
USER: Final = "leadconnector"
"""The user name of all entries."""

_LONGEST_ERROR: Final = 300
_LONGEST_READ: Final = 100_000
_NO_KEYRING: Final = (
    "there is no keyring that can be used; set one up (on Linux a Secret Service, such as GNOME Keyring or "
    "KeePassXC), or use another store, such as FileTokenStore"
)
_LOCKED: Final = "the keyring is locked; unlock it and try again"
_DIAGNOSE: Final = "`python -m keyring diagnose` shows which keyring is used"


class KeyringEntries:
    """Reads and writes entries by name. Every method blocks, may ask the user, and may raise `TokenStoreError`.

    `shown` is what errors call the store.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def read(self, name: str) -> Secret | None:
        """The value of an entry; `None` if there is none."""
        return self._use("read", lambda: _conceal(keyring.get_password(name, USER)))

    def write(self, name: str, value: Secret) -> None:
        """Create an entry."""
        self._use("written", lambda: keyring.set_password(name, USER, value), value)

    def remove(self, name: str) -> None:
        """Remove an entry, if it exists."""
        if self.read(name) is not None:
            self._use("removed", lambda: keyring.delete_password(name, USER))

    def _use(self, what: str, act: Callable[[], T], value: str = "") -> T:
        try:
            return act()
        except Exception as error:  # of the system as well, such as those of D-Bus and of Windows
            problem = _explain(error, value)
        # Outside of the `except`: the frames of a backend hold the value.
        raise TokenStoreError(f"{self._shown} could not be {what}: {problem}")


def _conceal(value: str | None) -> Secret | None:
    return None if value is None else Secret(value)


def _explain(error: Exception, value: str) -> str:
    if isinstance(error, NoKeyringError):
        return _NO_KEYRING
    if isinstance(error, KeyringLocked):
        return _LOCKED
    text = redact(show_error(error, _LONGEST_READ), value)  # first: a value that is cut is not recognized
    return f"{shorten(text, _LONGEST_ERROR)}; {_DIAGNOSE}"
