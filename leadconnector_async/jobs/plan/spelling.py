"""How people and spreadsheets spell headings and values that have one meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_IGNORED: Final = re.compile(r"[\W_]+")
_OTHER_NAMES: Final = {"status": "appointment_status", "appointmentid": "event_id"}
_PARTS_OF_A_TIME: Final = frozenset({"date", "day", "time", "hour", "startdate", "startday", "enddate", "endday"})
_OTHER_WORDS: Final = {"canceled": "cancelled"}
_TRUE: Final = "true yes y wahr ja vrai oui verdadero sí vero waar verdadeiro sim prawda tak"
_FALSE: Final = "false no n falsch nein faux non falso onwaar não fałsz nie"
_TRUTH: Final[dict[str, bool]] = {word: words is _TRUE for words in (_TRUE, _FALSE) for word in words.split()}
"""A spreadsheet writes the words of its user's language."""
_ERROR: Final = re.compile(r"#(?:N/A|N/V|NV|REF!|VALUE!|WERT!|DIV/0!|NAME\?|NULL!|NUM!|SPILL!|CALC!|ERROR!|#{2,})")
"""What a spreadsheet shows, and so writes, instead of a value."""
_NUMBER: Final = re.compile(r"\d+[.,]\d+(?:E[+-]?\d+)?|\d+E\+\d+", re.IGNORECASE)


def squash(text: str) -> str:
    """The letters and digits of a name, in lower case."""
    return _IGNORED.sub("", text).casefold()


def list_spellings(names: Iterable[str]) -> dict[str, str]:
    """Names by what their spellings have in common, and by the other names that they have."""
    return {squash(name): name for name in names} | _OTHER_NAMES


def is_part_of_a_time(name: str) -> bool:
    """Whether a heading means a day or a time of day alone."""
    return squash(name) in _PARTS_OF_A_TIME


def find_word(text: str, choices: Iterable[str]) -> str:
    """The choice that a word means; the word itself if it means none of them."""
    if text in choices:
        return text
    wanted = squash(text)
    wanted = _OTHER_WORDS.get(wanted, wanted)
    return next((choice for choice in choices if squash(choice) == wanted), text)


def find_truth(text: str) -> bool | None:
    """What a word for true or false means."""
    return _TRUTH.get(text.casefold())


def is_sheet_error(text: str) -> bool:
    """Whether it is what a spreadsheet writes if it has no value to show."""
    return text[:1] == "#" and _ERROR.fullmatch(text.strip()) is not None


def is_rounded_number(text: str) -> bool:
    """Whether an id was taken for a number, whose last digits are lost then."""
    return text[:1].isdigit() and _NUMBER.fullmatch(text) is not None
