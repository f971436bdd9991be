"""Texts of cells: what surrounds them, what cannot be seen in them, and what a spreadsheet would run.

Rule: a cell that is written and read again is what it was.

Pure. Must not import anything of the package.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

_BLANKS: Final = (
    " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000"
)
_ZERO_WIDTH: Final = "\xad\u180e\u200b\u200c\u200d\u2060\ufeff"
_MARKS: Final = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069"
"""Characters that are copied along with an id, and seen by nobody."""
_AROUND: Final = _BLANKS + _ZERO_WIDTH + _MARKS
_FORMULA: Final = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_QUOTE: Final = "'"
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def is_blank(text: str) -> bool:
    """Whether there is nothing to be seen."""
    return not text.strip(_AROUND)


def strip_unseen(text: str) -> str:
    """Without blanks and characters without a width around it."""
    return text if text.isascii() and text.isalnum() else text.strip(_AROUND)


def find_unseen(text: str) -> str | None:
    """The first character without a width, by its code and name; `None` if there is none."""
    if text.isprintable():
        return None
    for character in text:
        if character in _ZERO_WIDTH:
            return f"U+{ord(character):04X} ({unicodedata.name(character, 'invisible')})"
    return None


def defuse(text: str) -> str:
    """For a cell of a file that a spreadsheet may open: it must not run as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def restore(text: str) -> str:
    """What `defuse` was given."""
    return text[1:] if text[:1] == _QUOTE and _FORMULA.match(text) else text


def escape_html(value: object) -> str:
    """Text for a page; U+FFFD replaces what would control a terminal or the writing direction."""
    return html.escape(_CONTROLS.sub("\ufffd", str(value)))
