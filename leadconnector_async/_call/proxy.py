"""The proxy that requests go through, if any: found once for a client, by the rules of `urllib.request`.

Aiohttp's own `trust_env` stays off: it reads `~/.netrc` as well, where an entry for the host makes every call
fail. Plain http:// goes to loopback only, and never to another machine's proxy: it carries the token. Credentials
of a proxy are secrets: no error names them.
"""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Final, TypedDict
from urllib.parse import unquote
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from .._secret import Masked, Secret
from .._validation.settings import check_kind, is_loopback
from ..exceptions import ConfigurationError
from .base_url import find_host

_HINT: Final = "set it to an address such as http://proxy.example.com:3128, or name the host in NO_PROXY"


class ProxyRoute(TypedDict, total=False):
    """How aiohttp is told to go through a proxy; empty without one."""

    proxy: URL
    proxy_headers: CIMultiDict[str]
    trace_request_ctx: object
    """What is handed to the trace configs of a request."""


class _Given(Masked, Struct, frozen=True):
    """A proxy as it was given, credentials included: no frame of an error may show it."""

    name: str
    """What names it, for errors."""
    address: URL | None
    """`None` where it cannot be read."""


def find_proxy(base_url: URL, session: aiohttp.ClientSession | None) -> ProxyRoute:
    """The way to a server: the environment's, or a borrowed session's own.

    Raises `ConfigurationError` for a proxy or a session that cannot be used.
    """
    if session is not None:
        _check_session(session)
        if (given := _read_session(session)) is not None:
            _check(given)
            _check_machine(given, base_url)
            return _make_route(given, base_url)
    if base_url.scheme != "https" or not (session is None or session.trust_env):
        return ProxyRoute()
    given = _read_environment(base_url)
    if given is None:
        return ProxyRoute()
    _check(given)
    return _make_route(given, base_url)


def _check_session(session: object) -> None:
    """Only what a session lends can be kept, not what its class makes of a request."""
    check_kind("session", session, aiohttp.ClientSession, "an aiohttp.ClientSession")
    own = type(session).__mro__[: type(session).__mro__.index(aiohttp.ClientSession)]
    if any(name in vars(one) for one in own for name in ("request", "_request")):
        raise ConfigurationError(
            f"session is a {type(session).__name__}, whose own way of sending requests would be bypassed: "
            "pass a plain aiohttp.ClientSession"
        )


def _read_environment(base_url: URL) -> _Given | None:
    """The variable that names a proxy for this address."""
    found = {kind: Secret(text) for kind, text in getproxies_environment().items()}
    kind = "https" if "https" in found else "all"
    if kind not in found or proxy_bypass(f"{base_url.host}:{base_url.port}"):
        return None
    name = f"{kind}_proxy"
    return _Given(name if os.environ.get(name) else name.upper(), _parse(found[kind]))


def _read_session(session: aiohttp.ClientSession) -> _Given | None:
    """The proxy of a session, with the credentials that it has for it. aiohttp has no public way to ask."""
    if getattr(session, "_default_proxy", None) is None:
        return None
    given = _Given("the borrowed session's proxy", _parse(Secret(session._default_proxy)))  # pyright: ignore[reportPrivateUsage]
    auth = _Auth(getattr(session, "_default_proxy_auth", None))
    if auth.basic is None or given.address is None:
        return given
    return _Given(given.name, given.address.with_user(auth.basic[0]).with_password(auth.basic[1]))


class _Auth(Masked, Struct, frozen=True):
    basic: tuple[str, str, str] | None
    """Login, password and encoding."""


def _parse(text: Secret) -> URL | None:
    """Read a proxy's address; one without a scheme is http://, as everywhere."""
    try:
        address = URL(text if "://" in text else Secret(f"http://{text}"))
        find_host(address)
    except ValueError:
        return None
    return address


def _check(given: _Given) -> None:
    scheme = given.address.scheme if given.address is not None and given.address.host else ""
    if not scheme:
        raise ConfigurationError(f"{given.name} is not the address of a proxy; {_HINT}")
    if scheme.startswith("socks"):
        raise ConfigurationError(f"{given.name} is a SOCKS proxy, which cannot be used here; {_HINT}")
    if scheme not in ("http", "https"):
        raise ConfigurationError(f"{given.name} is a {scheme}:// address, which cannot be used here; {_HINT}")


def _check_machine(given: _Given, base_url: URL) -> None:
    host = given.address.host if given.address is not None else None
    if base_url.scheme == "http" and not is_loopback(host or ""):
        raise ConfigurationError(
            f"{given.name} is on another machine, and base_url is http://: the token would go there unencrypted; "
            "use https://, or a session without a proxy"
        )


def _make_route(given: _Given, base_url: URL) -> ProxyRoute:
    """Aiohttp sends proxy_headers to open a tunnel only; for plain http:// it must read the address itself."""
    url = given.address
    if url is None:
        return ProxyRoute()
    user, password = url.raw_user, url.raw_password
    if base_url.scheme == "http" or not (user or password):
        return ProxyRoute(proxy=url)
    credentials = f"{unquote(user or '')}:{unquote(password or '')}".encode(errors="surrogateescape")
    header = Secret(f"Basic {b64encode(credentials).decode()}")
    return ProxyRoute(proxy=url.with_user(None), proxy_headers=CIMultiDict({"Proxy-Authorization": header}))
