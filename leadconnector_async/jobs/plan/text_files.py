"""Opens a plan's file as text, in the encoding in which programs for tables save it.

A byte order mark tells UTF-8 and UTF-16. Whatever else is not UTF-8 can be in any of many encodings, so it is not
guessed: such bytes are kept, and refused in the cell that contains them.
"""

from __future__ import annotations

import codecs
import os
from typing import Final, TextIO

from ..._validation.arguments import refuse

UTF_8: Final = "utf-8-sig"
"""UTF-8, with or without a byte order mark."""
KEEP: Final = "surrogateescape"
"""What to do with bytes that are not valid: `rows` refuses them, by line and column."""

_SAVE: Final = 'save the plan as "CSV UTF-8"'
_WORKBOOK: Final = b"PK\x03\x04"
_OPEN_DOCUMENT: Final = b"mimetypeapplication/vnd.oasis.opendocument."
_UNREADABLE: Final = {
    b"\xd0\xcf\x11\xe0": "this is a workbook of Excel 97 (.xls), or one with a password",
    b"%PDF": "this is a PDF file",
    b"\x1f\x8b": "this is a file compressed with gzip",
    b"{\\rtf": "this is a document in RTF",
}
_MARKS: Final = {
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


class BadFile(ValueError):  # noqa: N818 - it never leaves the reading of a plan
    """Why a file holds no text."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


def check_encoding(name: str) -> str:
    """Raises `InvalidRequestError` for what is not the name of a text encoding."""
    try:
        codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError):
        hint = "use utf-8, utf-16, cp1252 (Windows, Western Europe), mac_roman or another of Python's codecs"
        raise refuse("encoding", name, "it is not the name of a text encoding", hint) from None
    return name


def read_head(path: str | os.PathLike[str]) -> bytes:
    """The first bytes of a plan, which tell what it is. Raises `OSError`."""
    with open(path, "rb") as file:
        return file.read(100)


def is_workbook(head: bytes) -> bool:
    """Whether it may be a workbook of Excel (.xlsx). Raises `BadFile` for one of OpenDocument."""
    if head.startswith(_WORKBOOK) and _OPEN_DOCUMENT in head:
        raise BadFile("this is an OpenDocument file (.ods)", "save it as an Excel workbook (.xlsx)")
    return head.startswith(_WORKBOOK)


def find_encoding(head: bytes, encoding: str | None) -> str:
    """The encoding of a plan, given or by its first bytes. Raises `BadFile` for what is not text."""
    for magic, reason in _UNREADABLE.items():
        if head.startswith(magic):
            raise BadFile(reason, _SAVE)
    return encoding or _detect(head)


def open_text(path: str | os.PathLike[str], encoding: str) -> TextIO:
    """Open a plan; its line ends stay as they are."""
    return open(path, encoding=encoding, errors=KEEP, newline="")


def _detect(head: bytes) -> str:
    """By the byte order mark; without one, a zero beside the first character tells UTF-16."""
    found = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if found is not None:
        return found
    if len(head) >= 2 and 0 in head[:2]:
        return "utf-16-be" if head[0] == 0 else "utf-16-le"
    return UTF_8
