"""Secrets that do not show: text and bytes whose repr is masked, so that no captured local can tell them.

Tools that report errors (Sentry, rich, `TracebackException(capture_locals=True)`, pytest) print the repr of every
local of every frame, and of what these hold. They are subclasses, so that they can go wherever text goes: into a
header, a form, or a user's `refresh(rejected)`.

Slices are secrets too: some tools cut a text before they take its repr.

Pure. Must not import anything of the package.
"""

from __future__ import annotations

from typing import Final, SupportsIndex

_MASK: Final = "'[redacted]'"


class Secret(str):
    """A text that must not be shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return _MASK

    def __getitem__(self, key: SupportsIndex | slice[SupportsIndex | None]) -> Secret:
        return Secret(super().__getitem__(key))


class SecretBytes(bytes):
    """Bytes that must not be shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"b{_MASK}"


class Masked:
    """Goes before `Struct` where one holds secrets, or what a server may have echoed them in: nothing is shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []
