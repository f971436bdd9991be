"""Who may use the sandbox: names of the host against DNS rebinding, and the admin token.

Other people's pages run in the same browser as the sandbox's own. They can send simple requests to any address, and
by DNS rebinding they can make a name of theirs point to this one. They can neither add `X-Sandbox-Admin` to what
they send to another origin, nor choose its `Host`.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from functools import lru_cache
from typing import Final

from msgspec import Struct
from multidict import CIMultiDictProxy, istr

PREFIX: Final = "/_sandbox/"
HEADER: Final = "X-Sandbox-Admin"
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every response that is not the API's."""
_HEADER: Final = istr(HEADER)
_COOKIE: Final = istr("Cookie")
_HOST: Final = istr("Host")
_ORIGIN: Final = istr("Origin")
_SITE: Final = istr("Sec-Fetch-Site")
_READING: Final = frozenset({"GET", "HEAD"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})


class Denial(Struct, frozen=True):
    """Why a request is refused before anything looks at it."""

    status: int
    error: str


class Guard:
    """Decides whether a request may pass, from its head alone."""

    def __init__(self, host: str) -> None:
        self.token = secrets.token_urlsafe(32)
        """The admin token. It is as random as it can be: whatever follows from the seed can be computed."""
        self._session = secrets.token_urlsafe(32)
        self.needs_token = not ipaddress.ip_address(host).is_loopback
        """Whether other machines can reach the sandbox."""

    def check_host(self, headers: CIMultiDictProxy[str]) -> Denial | None:
        """Refuse a request that was sent to another name than the sandbox's.

        Only on loopback, where each name for it is known; elsewhere the admin token protects what is not the API.
        """
        if self.needs_token:
            return None
        hosts = headers.getall(_HOST, [])
        if len(hosts) == 1 and is_loopback_name(hosts[0]):
            return None
        return Denial(421, "Host is not a loopback address or localhost; use the url that the sandbox has printed")

    def check_admin(self, method: str, headers: CIMultiDictProxy[str]) -> Denial | None:
        """Refuse a request for an admin route that has no token, or that another page has sent."""
        if not is_own_page(headers):
            return Denial(403, "another page has sent this request")
        if not self.is_signed_in(headers):
            return Denial(401, f"the sandbox can be reached by other machines: send its admin token as {HEADER}")
        if method not in _READING and not headers.get(_HEADER):
            return Denial(403, f"a request that changes something needs the header {HEADER}, with any value")
        return None

    def is_signed_in(self, headers: CIMultiDictProxy[str]) -> bool:
        """Whether a request has the admin token or the page's cookie, or needs neither."""
        if not self.needs_token or _equal(headers.get(_HEADER), self.token):
            return True
        wanted = f"{_name_cookie(headers.get(_HOST, ''))}={self._session}"
        return any(_equal(one.strip(), wanted) for one in headers.get(_COOKIE, "").split(";"))

    def make_cookie(self, host: str) -> str:
        """A cookie for who has sent the token: pages of other sites cannot send it, and scripts cannot read it."""
        return f"{_name_cookie(host)}={self._session}; Path=/; HttpOnly; SameSite=Strict"


def _equal(text: str | None, secret: str) -> bool:
    """In constant time."""
    return hmac.compare_digest((text or "").encode(errors="surrogateescape"), secret.encode())


def _name_cookie(host: str) -> str:
    """Cookies do not differ by port, but two sandboxes on one host do."""
    return f"sandbox_{_split_host(host)[1] or 80}"


def is_own_page(headers: CIMultiDictProxy[str]) -> bool:
    """Whether a browser says that no other page has sent a request; programs say nothing."""
    origin = headers.get(_ORIGIN)
    own = origin is None or origin == f"http://{headers.get(_HOST)}"
    return own and headers.get(_SITE, "none") in _OWN_SITES


@lru_cache(maxsize=64)
def is_loopback_name(host: str) -> bool:
    """Whether a `Host` can only be this machine's, with any port: it may have been forwarded."""
    name, port = _split_host(host)
    if port and not (port.isascii() and port.isdigit()):
        return False
    if name.lower() == "localhost":
        return True
    is_bracketed = name.startswith("[") and name.endswith("]")
    try:
        address = ipaddress.ip_address(name[1:-1] if is_bracketed else name)
    except ValueError:
        return False
    return address.is_loopback and is_bracketed == (address.version == 6)


def _split_host(host: str) -> tuple[str, str]:
    """`[::1]:80` is `[::1]` and `80`."""
    if host.startswith("["):
        name, bracket, rest = host.partition("]")
        return name + bracket, rest.removeprefix(":") if rest.startswith(":") else rest and "no port"
    name, _, port = host.partition(":")
    return name, port
