"""The address that requests, and with them tokens, go to.

Verified TLS, or loopback; nothing secret in the address itself.
"""

from __future__ import annotations

from typing import Final

from yarl import URL

from .._secret import Held, Secret, conceal
from .._validation.settings import check_line, find_text_fault, is_loopback
from .._validation.text import escape, show_error
from ..exceptions import ConfigurationError

BASE_URL: Final = "https://services.leadconnectorhq.com"
"""The vendor's host [doc]."""
_UNLIKE: Final = f"base_url must look like {BASE_URL!r}"


def check_base_url(text: str | Secret | Held) -> URL:
    """Read a base address. Raises `ConfigurationError` for one that tokens must not be sent to.

    One that cannot be used may hold a password: nothing of it is in the error, nor in its frames.
    """
    given = conceal(text)
    del text
    if not isinstance(given, Secret):
        raise ConfigurationError(f"base_url is a {given.kind}; it must be a string")
    found = _read_base_url(given)
    if isinstance(found, str):
        raise ConfigurationError(found)
    return found


def _read_base_url(text: Secret) -> URL | str:
    """The address, or what is wrong with it."""
    if not text or text != text.strip() or find_text_fault(text):
        return "base_url must be a non-empty line of text without surrounding whitespace"
    try:
        url = URL(text)
        host = find_host(url) if url.scheme in ("http", "https") and url.port is not None else None
    except Exception:  # its text may hold a part of the address
        return _UNLIKE
    return _find_fault(url, host) or url if host else _UNLIKE


def find_host(url: URL) -> str | None:
    """The host of an address. Raises `UnicodeError`, a `ValueError`, for a name that no resolver takes: `a..b`."""
    (url.raw_host or "").encode("idna")
    return url.host


def _find_fault(url: URL, host: str) -> str | None:
    if url.user is not None or url.password is not None:
        return "base_url must not hold a user name or a password"
    if url.query_string or url.fragment:
        return "base_url must not hold a query or a fragment"
    if url.scheme == "http" and not is_loopback(host):
        return f"base_url is http:// to {escape(host)}; use https://, as http:// is for loopback only"
    return None


def read_url(name: str, value: object) -> URL:
    """An address of any kind. Raises `ConfigurationError` for what is not one."""
    text = check_line(name, value)
    try:
        url = URL(text)
        _ = find_host(url), url.port
    except Exception as error:
        raise ConfigurationError(f"{name} is not an address: {show_error(error)}") from None
    return url
