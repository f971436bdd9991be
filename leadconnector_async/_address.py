"""The address that requests, and with them tokens, go to.

Rule: verified TLS, or loopback; nothing secret in the address itself.

Pure. Must not import anything of the package but its errors.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from yarl import URL

from ._shown import show_error
from ._values import check_line
from .exceptions import ConfigurationError

BASE_URL: Final = "https://services.leadconnectorhq.com"
"""The vendor's host [doc]."""


def check_base_url(text: str) -> URL:
    """Read a base address. Raises `ConfigurationError` for one that tokens must not be sent to."""
    url = read_url("base_url", text)
    host, port = url.host, url.port
    if not host or url.scheme not in ("http", "https") or port is None:
        raise ConfigurationError(f"base_url must look like {BASE_URL!r}")
    if url.user is not None or url.password is not None:
        raise ConfigurationError("base_url must not hold a user name or a password")
    if url.query_string or url.fragment:
        raise ConfigurationError("base_url must not hold a query or a fragment")
    if url.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"base_url is http:// to {host}; use https://, as http:// is for loopback only")
    return url


def read_url(name: str, value: object) -> URL:
    """An address of any kind. Raises `ConfigurationError` for what is not one."""
    text = check_line(name, value)
    try:
        url = URL(text)
        _ = url.host, url.port
    except Exception as error:
        raise ConfigurationError(f"{name} is not an address: {show_error(error)}") from None
    return url


def is_loopback(host: str) -> bool:
    """Tell whether what is sent to a host stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
