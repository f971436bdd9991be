"""Text in messages: values shown briefly, and foreign text made safe for one line."""

from __future__ import annotations

import re
from functools import partial
from typing import Final

LONGEST_TEXT: Final = 300
"""Characters of one text that are shown."""
LONGEST_TRACE: Final = 100
"""Characters of a trace id: the server's have 36."""
_MOST_READ: Final = 4_000
"""Characters that are processed to show those. `unescape` fails on a number of 4,300 digits."""
_UNPRINTABLE: Final = partial(
    re.compile,
    r"[\s\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e0fff]+",
)
"""Whitespace, control characters, bidirectional marks and lone surrogates."""
_SKIPPED: Final = {
    "script": partial(re.compile, r"</script", re.I),
    "style": partial(re.compile, r"</style", re.I),
    "!--": partial(re.compile, r"-->"),
}
"""Elements that a page does not show, and how they end."""
_OPENING: Final = partial(re.compile, r"<(!--|[a-z]+|[/!?])", re.I)


def clean_line(text: str, longest: int = LONGEST_TEXT) -> str:
    """One line without control characters, cut to `longest` characters."""
    line = _UNPRINTABLE().sub(" ", text[: max(_MOST_READ, 2 * longest)]).strip()
    return line if len(line) <= longest else f"{line[:longest]}…"


def clean_trace_id(trace_id: object) -> str | None:
    """A trace id that is safe to show; `None` if there is none."""
    return clean_line(trace_id, LONGEST_TRACE) or None if isinstance(trace_id, str) else None


def read_page(page: str) -> str:
    """The visible text of an HTML page, on one line."""
    from html import unescape  # noqa: PLC0415 - only pages need its large table

    parts: list[str] = []
    place, find_opening = 0, _OPENING().search
    while (opening := find_opening(page, place)) is not None:
        parts.append(page[place : opening.start()])
        skipped = _SKIPPED.get(opening[1].lower())
        end = opening if skipped is None else skipped().search(page, opening.end())
        place = -1 if end is None else page.find(">", end.end() - (skipped is not None))
        if place < 0:
            break
        place += 1
    else:
        parts.append(page[place:])
    shown = _UNPRINTABLE().sub(" ", " ".join(parts)).strip()
    return clean_line(unescape(shown[:_MOST_READ]))


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
    """Keep both quotation marks, so that the end of the text is visible."""
    shown = repr(shorten(text, most))
    return shown if len(shown) <= most + 2 else f"{shown[:most]}…{shown[-1]}"


def show_error(error: BaseException, most: int = 200) -> str:
    """The message of a foreign error, on one short line. Never raises."""
    try:
        text = str(error)[:most]
    except Exception:
        text = ""
    text = " ".join(escape(" ".join(text.split())).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def escape(text: str) -> str:
    """A text with everything unprintable escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def shorten(text: str, most: int = MOST) -> str:
    """A text, cut to `most` characters; `…` shows where."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
