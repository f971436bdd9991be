"""The page at which a user connects the app: it decides at once, and sends the browser back with a code.

A code goes to the app's registered redirect URIs and to loopback only, whatever the request asks for. Unless
those are in order, it responds with plain text and redirects nobody: an open redirect would hand out the code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, get_args
from urllib.parse import SplitResult, urlencode, urlsplit, urlunsplit

from .guard import is_loopback_name
from .oauth import TokenEndpoint, UserType
from .updates import Refusal

PATHS: Final = frozenset({"/v2/oauth/chooselocation", "/oauth/chooselocation"})
"""The vendor's since May 2026, and the one before [doc]."""
_PLAIN: Final = re.compile(r"[!-~]{1,2000}")
_SCOPES: Final = re.compile(r"[\w./-]{1,100}(?: [\w./-]{1,100}){0,99}", re.ASCII)
_KNOWN: Final = ("response_type", "redirect_uri", "client_id", "scope", "state", "location_id", "user_type")


def authorize(endpoint: TokenEndpoint, pairs: Sequence[tuple[str, str]], now: datetime) -> str:
    """The URL to redirect to, with a code or with an error as OAuth has them. Raises `Refusal`.

    The user is one who chooses `location_id`, the first if the query names none, or the agency for
    `user_type=Company`.
    """
    names = [name for name, _ in pairs]
    if repeated := [name for name in _KNOWN if names.count(name) > 1]:
        raise Refusal(400, f"{repeated[0]} is there more than once")
    query = dict(pairs)
    if query.get("client_id") != endpoint.client_id:
        raise Refusal(400, "client_id is not that of the sandbox's app")
    redirect_uri = query.get("redirect_uri", "")
    target = _read_redirect(redirect_uri, endpoint.rules.redirect_uris)
    owner_id, user_type = _choose_owner(endpoint, query)
    state = {"state": query["state"]} if "state" in query else {}
    if query.get("response_type") != "code":
        return _add(target, {"error": "unsupported_response_type", **state})
    if not _SCOPES.fullmatch(query.get("scope", "")):
        return _add(target, {"error": "invalid_scope", **state})
    code = endpoint.issue_code(owner_id, query["scope"].split(" "), user_type, now, redirect_uri)
    return _add(target, {"code": code, **state})


def _read_redirect(address: str, registered: Sequence[str]) -> SplitResult:
    """A registered redirect URI, letter for letter; or one on loopback, on any port and path."""
    try:
        url = urlsplit(address)
        is_loopback = url.scheme in ("http", "https") and is_loopback_name(url.netloc)
    except ValueError:
        is_loopback, url = False, SplitResult("", "", "", "", "")
    # Browsers read backslashes, blanks and control characters in ways of their own.
    is_plain = _PLAIN.fullmatch(address) is not None and "\\" not in address and "#" not in address
    if not (address in registered or (is_loopback and is_plain)):
        raise Refusal(400, "redirect_uri is neither registered (TokenRules.redirect_uris) nor on loopback")
    return url


def _choose_owner(endpoint: TokenEndpoint, query: dict[str, str]) -> tuple[str, UserType]:
    installs, user_type = endpoint.installs, query.get("user_type", "Location")
    if user_type not in get_args(UserType):
        raise Refusal(400, "user_type is neither Location nor Company")
    if user_type == "Company":
        return installs.company_id, "Company"
    location_id = query.get("location_id", installs.location_ids[0])
    if location_id not in installs.location_ids:
        raise Refusal(400, "location_id is not one of the sandbox's")
    return location_id, "Location"


def _add(url: SplitResult, fields: dict[str, str]) -> str:
    query = urlencode(fields)
    return urlunsplit(url._replace(query=f"{url.query}&{query}" if url.query else query))
