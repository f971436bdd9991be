"""Values as messages show them: short, whatever they are.

Pure. Must not import anything of the package.
"""

from __future__ import annotations

from typing import Final

MOST: Final = 80
"""Characters of a value that a message shows."""


def show(value: object, most: int = MOST) -> str:
    """The `repr` of a value, cut to `most` characters. Never raises."""
    if isinstance(value, str):
        value = str.__str__(value)[:most]  # a subclass can render itself as anything
    elif isinstance(value, bytes | bytearray):
        value = bytes(value[:most])
    try:
        return shorten(repr(value), most)
    except Exception:  # whatever its `repr` does, the message is about something else
        return f"<{type(value).__name__}>"


def shorten(text: str, most: int = MOST) -> str:
    """A text, cut to `most` characters; `…` shows where."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
