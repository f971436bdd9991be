"""Keyrings in memory, in place of the operating system's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keyring
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError, PasswordSetError

LIMIT = 1280
"""Characters of an entry that Windows takes: 2,560 bytes, two for each."""


class MemoryKeyring(KeyringBackend):
    """As the worst of them all: short entries as on Windows, and replaced in two steps as on macOS."""

    priority = -2.0  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.before: Callable[[str, str], None] = lambda step, name: None
        """Called before each step."""

    def get_password(self, service: str, username: str) -> str | None:
        self.before("read", service)
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if len(password.encode("utf-16-le")) > 2 * LIMIT:
            raise PasswordSetError("The stub received bad data")
        if (service, username) in self.entries:
            self.delete_password(service, username)
        self.before("write", service)
        self.entries[service, username] = str(password)

    def delete_password(self, service: str, username: str) -> None:
        self.before("delete", service)
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("No such password")

    def names(self) -> list[str]:
        return sorted(service for service, _ in self.entries)


@contextmanager
def use_keyring(ring: KeyringBackend | None = None) -> Iterator[MemoryKeyring]:
    """In place of the operating system's, which is never asked."""
    before, memory = keyring.core._keyring_backend, MemoryKeyring()
    keyring.set_keyring(ring or memory)
    try:
        yield memory
    finally:
        keyring.core._keyring_backend = before
