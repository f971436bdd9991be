"""Secrets: text and bytes whose repr is masked, so that no captured local shows them.

Tools that report errors (Sentry, rich, `TracebackException(capture_locals=True)`, pytest) print the repr of every
local of every frame, and of what these hold. They are subclasses, so that they can be used wherever text can: in a
header, a form, or a user's `refresh(rejected)`.

Slices are secrets too: some tools truncate a text before they take its repr.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn, SupportsIndex, TypeVar, overload

E = TypeVar("E", bound=BaseException)

_ENOUGH: Final = 6
_SPACING: Final = r"(?:[ ().-]|%20){0,3}"
_MASK: Final = "'[redacted]'"


class Secret(str):
    """Text that must not be shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return _MASK

    def __getitem__(self, key: SupportsIndex | slice[SupportsIndex | None]) -> Secret:
        return Secret(super().__getitem__(key))


class Personal(Secret):
    """A phone number or an email address, which a server may echo in another case, encoding or spacing."""

    __slots__ = ()

    def cut_out(self, text: str) -> str:
        """Redact it, also where the text ends within it: six characters are enough."""
        is_number = "@" not in self
        units = [_build_unit(one, spaced=is_number) for one in (self.removeprefix("+") if is_number else self)]
        head, rest = units[:_ENOUGH], [re.compile(unit, re.I) for unit in units[_ENOUGH:]]
        parts: list[str] = []
        place = 0
        for found in re.finditer("".join(head), text, re.I):
            if found.start() < place:
                continue
            parts += [text[place : found.start()], "[redacted]"]
            place = found.end()
            for unit in rest:
                if (match := unit.match(text, place)) is None:
                    break
                place = match.end()
        return "".join([*parts, text[place:]])


def _build_unit(character: str, *, spaced: bool) -> str:
    encoded = "".join(f"%{byte:02x}" for byte in character.encode())
    return rf"{_SPACING if spaced else ''}(?:{re.escape(character)}|{encoded})"


class SecretBytes(bytes):
    """Bytes that must not be shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"b{_MASK}"

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...

    @overload
    def __getitem__(self, key: slice[SupportsIndex | None]) -> SecretBytes: ...

    def __getitem__(self, key: SupportsIndex | slice[SupportsIndex | None]) -> int | SecretBytes:
        taken = super().__getitem__(key)
        return SecretBytes(taken) if isinstance(taken, bytes) else taken


class Masked:
    """Base class, before `Struct`, of what holds secrets or may echo them: its repr shows nothing but its type."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


class InOneProcess:
    """Base class of what cannot be pickled or copied: copies would reveal secrets and lack connections or locks."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(f"a {name} cannot be pickled or copied; create one in each process, with the same settings")


class Held(Masked):
    """Replaces a value of any kind that may hold a secret, where only its type still matters."""

    __slots__ = ("kind",)

    def __init__(self, value: object) -> None:
        self.kind = type(value).__name__


def conceal(value: object) -> Secret | Held:
    """Mask a secret that a user passed. Call it first in a function: error reports show parameters."""
    if isinstance(value, Held | Secret):
        return value
    return Secret(str.__str__(value)) if isinstance(value, str) else Held(value)


def strip(error: E) -> E:
    """Drop the cause and traceback of an error: frames of other libraries hold what we passed, secrets included."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
