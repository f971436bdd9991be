"""Checks of the sandbox's settings. Each raises `InvalidRequestError`, which is a `ValueError`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final, cast

from .._validation.settings import is_count, is_finite, to_text
from .._validation.text import show
from ..exceptions import InvalidRequestError

_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]+", re.ASCII)


def reject_setting(name: str, value: object, hint: str) -> InvalidRequestError:
    """The error for a setting that cannot work."""
    return InvalidRequestError(f"{name} is {show(value)}; {hint}", field=name, value=value, hint=hint)


def check_number(name: str, value: object, least: int, most: int = 1_000_000_000) -> None:
    """A whole number."""
    if not is_count(value, least, most):
        raise reject_setting(name, value, f"it must be at least {least} and at most {most}")


def check_duration(name: str, value: object, *, may_be_zero: bool = False) -> None:
    """A number of seconds, or a rate."""
    if not is_finite(value) or value < 0 or (value == 0 and not may_be_zero):
        raise reject_setting(
            name, value, f"it must be a number {'0 or greater' if may_be_zero else 'greater than 0'}"
        )


def check_switch(name: str, value: object) -> None:
    """`True` or `False`."""
    if not isinstance(value, bool):
        raise reject_setting(name, value, "it must be True or False")


def check_word(name: str, value: object, words: Iterable[object]) -> None:
    """One of some words."""
    known = tuple(words)
    if not (value is None or isinstance(value, str)) or value not in known:
        raise reject_setting(name, value, f"it must be one of {', '.join(map(repr, known))}")


def check_operation(operation: object, known: Iterable[str]) -> None:
    """One that the sandbox serves. A test with a mistyped one would prove nothing, because no request has it."""
    names, name = tuple(known), to_text(operation) or ""
    if name not in names:
        from difflib import get_close_matches  # noqa: PLC0415 - only mistakes need it

        near = get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(names)}"
        raise reject_setting("operation", operation, hint)


def check_host(host: object) -> str:
    """An IP address to listen on."""
    text = to_text(host)
    try:
        return str(ipaddress.ip_address(text or ""))
    except ValueError:
        hint = "it must be an IP address, such as '127.0.0.1', or '0.0.0.0' to be reached by other machines"
        raise reject_setting("host", host, hint) from None


def name_host(host: str) -> str:
    """An address as it is written in a URL of this machine."""
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"[{host}]" if address.version == 6 else host


def check_redirect(name: str, address: object) -> None:
    """An absolute URL without a fragment, as it can be in a header."""
    text = to_text(address) or ""
    if not _ADDRESS.fullmatch(text):
        raise reject_setting(name, address, "it must be a URL such as https://app.example.com/callback")


def check_kind(name: str, value: object, kind: type[object]) -> None:
    """An object of a class, or `None`."""
    if value is not None and not isinstance(value, kind):
        raise reject_setting(name, value, f"it must be a {kind.__name__}")


def check_faults(faults: object) -> None:
    """Lists of faults by operation, or `None`."""
    if faults is None:
        return
    kind = type(faults).__name__
    pairs = cast("Mapping[object, object]", faults).items() if isinstance(faults, Mapping) else [(None, None)]
    for operation, planned in pairs:
        if not isinstance(operation, str) or isinstance(planned, str) or not isinstance(planned, Iterable):
            raise reject_setting("faults", kind, "it must be a mapping of operations to lists of faults")
