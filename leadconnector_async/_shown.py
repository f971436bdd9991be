"""Values as messages show them: short, whatever they are.

Pure. Must not import anything of the package.
"""

from __future__ import annotations

from typing import Final

MOST: Final = 80
"""Characters of a value that a message shows."""


def show(value: object, most: int = MOST) -> str:
    """The `repr` of a value, cut to `most` printable characters. Never raises."""
    if isinstance(value, str):  # a subclass can render itself as anything
        return _show_text(str.__str__(value), most)
    if isinstance(value, bytes | bytearray):
        value = bytes(value[:most])
    try:
        return shorten(escape(repr(value)[: most + 1]), most)
    except Exception:  # whatever its `repr` does, the message is about something else
        return f"<{type(value).__name__}>"


def _show_text(text: str, most: int) -> str:
    """Both quotation marks stay, so that whoever looks for a text finds where it ends."""
    shown = repr(shorten(text, most))
    return shown if len(shown) <= most + 2 else f"{shown[:most]}…{shown[-1]}"


def show_error(error: BaseException, most: int = 200) -> str:
    """What an error of code that is not ours says, on one short line. Never raises."""
    try:
        text = str(error)[:most]
    except Exception:
        text = ""
    text = " ".join(escape(" ".join(text.split())).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def escape(text: str) -> str:
    """A text without anything that a terminal or a log could take for more than text."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def shorten(text: str, most: int = MOST) -> str:
    """A text, cut to `most` characters; `…` shows where."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
