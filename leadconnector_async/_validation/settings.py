"""Settings that users pass: converted to plain values, and checked.

A value of any type can arrive here. No message is built from one but through `show`, and no text is used before
`to_text` has made it a plain `str`.
"""

from __future__ import annotations

import inspect
import ipaddress
import math
import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeGuard, TypeVar, cast

from ..exceptions import ConfigurationError
from .text import show, show_error

T = TypeVar("T")

_LONGEST_PATH: Final = 4096
"""Bytes: the limit of Linux, which is the highest."""
_LARGEST_COUNT: Final = 1_000_000_000
_CONTROL: Final = partial(re.compile, r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def to_text(value: object) -> str | None:
    """A string as a plain `str`; `None` if the value is not a string.

    Subclasses of `str` (numpy's, Django's, members of a `StrEnum`) are texts, but msgspec does not take them.
    """
    if type(value) is str:
        return value
    return str.__str__(value) if isinstance(value, str) else None


def find_text_fault(text: str, *, lines: bool = False) -> str | None:
    """The reason why a text cannot be sent; `None` if it can. `lines` allows line breaks.

    A single line holds none of the characters that a reader may take for its end (those of `str.splitlines`), and
    no other control character but the tab. With line breaks allowed, only NUL is refused.
    """
    if text.isprintable():
        return None
    match = next((one for one in _CONTROL().finditer(text) if one[0] != "\t" and _is_refused(one[0], lines)), None)
    if match is None:
        return None
    character = match[0]
    if "\ud800" <= character <= "\udfff":
        return "it contains a lone surrogate"
    name = f"U+{ord(character):04X} at character {match.start() + 1}"
    if len(f"a{character}b".splitlines()) > 1:
        return f"it contains a line break ({name})"
    return f"it contains a control character ({name})"


def check_line(name: str, value: object) -> str:
    """A setting that is a non-empty line without surrounding whitespace. Raises `ConfigurationError`."""
    text = to_text(value)
    if text is None:
        raise ConfigurationError(f"{name} is {show(value)}; it must be a string")
    if not text or text != text.strip() or find_text_fault(text):
        raise ConfigurationError(
            f"{name} is {show(value)}; it must be a non-empty line of text without surrounding whitespace"
        )
    return text


def check_kind(name: str, value: T, kind: type[object], example: str = "") -> T:
    """A setting of a given type. Raises `ConfigurationError`."""
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} is {show(value)}; it must be {example or f'a {kind.__name__}'}")
    return value


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """A setting that is one of the choices. Raises `ConfigurationError`."""
    text, known = to_text(value), tuple(choices)
    if text is None or text not in known:
        words = ", ".join(map(repr, known[:-1]))
        raise ConfigurationError(f"{name} is {show(value)}; it must be {words} or {known[-1]!r}")
    return text


def check_flag(name: str, value: object) -> None:
    """A setting that is `True` or `False`. Raises `ConfigurationError`."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} is {show(value)}; it must be True or False")


def check_count(name: str, value: object, least: int, most: int = _LARGEST_COUNT) -> None:
    """A setting that is an integer within bounds. Raises `ConfigurationError`."""
    if is_count(value, least, most):
        return
    much = f" and at most {most:,}" if isinstance(value, int) and value > most else ""
    raise ConfigurationError(f"{name} is {show(value)}; it must be a whole number of at least {least}{much}")


def is_count(value: object, least: int, most: int = _LARGEST_COUNT) -> bool:
    """Whether a value is an integer within bounds."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def check_seconds(name: str, value: object, *, may_be_zero: bool = False) -> None:
    """A setting that is a finite number of seconds. Raises `ConfigurationError`."""
    if not (is_finite(value) and (value > 0 or (may_be_zero and value == 0))):
        least = "0 or greater" if may_be_zero else "greater than 0"
        raise ConfigurationError(f"{name} is {show(value)}; it must be a number of seconds {least}")


def check_callback(name: str, value: object, *, optional: bool = True) -> None:
    """A setting that is a callback, or `None` if it is optional. Raises `ConfigurationError`.

    An async function would only return a coroutine, which nobody awaits.
    """
    if value is None and optional:
        return
    if not callable(value):
        raise ConfigurationError(f"{name} is {show(value)}; it must be a function")
    if is_async(value):
        raise ConfigurationError(
            f"{name} is {show(value)}, an async function; it must be a plain function, which may start a task"
        )


def is_async(function: object) -> bool:
    """Whether a function or callable object is async."""
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return any(kind(one) for kind in kinds for one in (function, type(function).__call__))


def check_clock(clock: Callable[[], float]) -> Callable[[], float]:
    """A clock of the user's, checked at every call. Raises `ConfigurationError`, and so does the clock."""
    check_kind("clock", clock, Callable, "a function that returns the seconds since the epoch")  # type: ignore[arg-type]
    check_callback("clock", clock)
    return partial(_read_clock, clock)


def _read_clock(clock: Callable[[], float]) -> float:
    now: object = clock()
    if not is_finite(now):
        if inspect.iscoroutine(now):
            now.close()
        raise ConfigurationError(
            f"clock returned a {type(now).__name__}; it must return the seconds since the epoch"
        )
    return now


def check_path(name: str, value: object) -> str:
    """A setting that is a path. Raises `ConfigurationError`."""
    try:
        path = os.fspath(cast("os.PathLike[str]", value))
        encoded = os.fsencode(path)
    except Exception as error:
        raise ConfigurationError(f"{name} is {show(value)}; it must be a path ({show_error(error)})") from None
    text = to_text(path)
    if text is None or not encoded or b"\0" in encoded or len(encoded) > _LONGEST_PATH:
        raise ConfigurationError(f"{name} is {show(value)}; it must be a path: non-empty text without NUL")
    return text


def _is_refused(character: str, lines: bool) -> bool:
    return not lines or character == "\0" or "\ud800" <= character <= "\udfff"


def is_finite(value: object) -> TypeGuard[float]:
    """Whether a value is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def is_loopback(host: str) -> bool:
    """Tell whether what is sent to a host stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
