"""The client of a command: its token, location and address, from environment, file or another command."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final, Literal, overload
from urllib.parse import unquote

from .._call.base_url import BASE_URL
from .._secret import Secret
from .._sharing.url import has_password, parse_address
from .._tokens.keyring import KeyringTokenStore
from .._tokens.shared import open_token_store
from ..access import Access, check_access, check_may_write
from ..auth import TokenProvider
from ..client import LeadConnector, own_shared
from ..exceptions import ConfigurationError
from ..jobs.places import is_url
from ..oauth import OAuthApp
from ..policy import RateLimit
from ..shared import Shared
from ..token_stores import FileTokenStore, TokenStore
from .arguments import ACCOUNT, Account
from .tokens import CommandToken, LocationToken, read_secret, run_for_secret

_PREFIX: Final = "LEADCONNECTOR_"
_KINDS: Final = ("TOKEN", "TOKEN_FILE", "TOKEN_COMMAND", "CLIENT_ID")
_PROFILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def make_client(
    account: Account = ACCOUNT, reserve: int | None = None, *, to_write: str | None = None, place: str = ""
) -> LeadConnector:
    """The client of an account. Raises `ConfigurationError` naming the variable to set.

    `reserve`: the requests of each window that bulk calls leave to others; `None` follows demand. `to_write`: the
    command, if it writes; raises `ReadOnlyError` if nothing may be changed. `place`: a job; if it is in a database,
    limits are shared there, unless another store is named.
    """
    access = choose_access(account) if to_write is None else require_write(account, to_write)
    limit = _make_limit(reserve)
    settings = find_settings(account.profile)
    location_id = settings.find_location()
    shared = make_shared(account.shared, account.profile, allow_plaintext=account.allow_plaintext)
    if shared is None and is_url(place):
        shared = Shared(Secret(place.partition("#")[0]), allow_plaintext=account.allow_plaintext)
    token = settings.make_token(location_id, shared, allow_plaintext=account.allow_plaintext)
    return own_shared(open_client(settings, token, location_id, shared=shared, rate_limit=limit, access=access))


def open_client(
    settings: Settings,
    token: TokenProvider,
    location_id: str,
    *,
    shared: Shared | None,
    access: Access,
    rate_limit: RateLimit | None = None,
) -> LeadConnector:
    """The client of one location, with a provider of its token. Raises `ConfigurationError`."""
    return LeadConnector(
        token,
        location_id=location_id,
        base_url=settings.find_base_url(),
        rate_limit=rate_limit,
        shared=shared,
        app_info="leadconnector-cli",
        access=access,
    )


def choose_access(account: Account) -> Access:
    """`read` if the flag says so, or the variable of the profile or of all profiles."""
    return "read" if _list_restrictions(account) else "write"


def require_write(account: Account, command: str) -> Access:
    """Raise `ReadOnlyError` naming what keeps a command from writing."""
    found = _list_restrictions(account)
    access: Access = "read" if found else "write"
    check_may_write(access, command, f"run the command without {' and '.join(found)}")
    return access


def _list_restrictions(account: Account) -> list[str]:
    """The flag and the variables that allow reading only."""
    names = dict.fromkeys((f"{_PREFIX}ACCESS", find_settings(account.profile).name("ACCESS")))
    found = [f"{name}=read" for name in names if check_access(os.environ.get(name) or "write", name) == "read"]
    return ["--read-only", *found] if account.read_only else found


def _make_limit(reserve: int | None) -> RateLimit:
    most = RateLimit().max_requests
    if reserve is not None and not 0 <= reserve < most:
        raise ConfigurationError(f"--reserve {reserve}: it must be at least 0 and less than {most}")
    return RateLimit(interactive_reserve=reserve)


@overload
def make_shared(
    url: str | None, profile: str | None = None, *, allow_plaintext: bool = False, required: Literal[True]
) -> Shared: ...


@overload
def make_shared(
    url: str | None, profile: str | None = None, *, allow_plaintext: bool = False, required: bool = False
) -> Shared | None: ...


def make_shared(
    url: str | None, profile: str | None = None, *, allow_plaintext: bool = False, required: bool = False
) -> Shared | None:
    """What is shared: by the URL of an argument, or else of the environment. `None` without one, unless `required`.

    Raises `ConfigurationError`, also for a password in an argument: all users of the machine can see it.
    """
    settings = find_settings(profile)
    given = None if url is None else Secret(url)
    del url
    if given is not None:
        _refuse_password("the URL of the shared store", given, settings)
    given = given if given is not None else settings.find_shared()
    if given is not None:
        return Shared(given, allow_plaintext=allow_plaintext)
    if required:
        raise settings.refuse("SHARED", "pass the URL of the store, or set it to that URL")
    return None


def find_place(place: str, profile: str | None = None) -> str:
    """What names a job, or all jobs of a database, in an argument: a folder as it is, a URL with its password.

    User and password are those of the shared store, if it is in the same database. Raises `ConfigurationError` for
    a password in the argument.
    """
    given = Secret(place)
    del place
    if not is_url(given):
        return str.__str__(given)
    settings = find_settings(profile)
    _refuse_password("the URL of the database", given, settings)
    url, mark, name = (Secret(part) for part in given.partition("#"))
    shared = settings.find_shared()
    return given if shared is None or not _is_completed_by(shared, url) else Secret(f"{shared}{mark}{name}")


def _is_completed_by(shared: Secret, url: Secret) -> bool:
    """Whether a URL without user and options names the same database as another one."""
    try:
        given, known = (parse_address(one, allow_plaintext=True) for one in (url, shared))
    except ConfigurationError:  # reported by whoever uses it
        return False
    return given.user is None and "?" not in url and given.shown == known.shown


def find_settings(profile: str | None) -> Settings:
    """The variables of a profile, of the one that the environment names, or of none."""
    return Settings(os.environ, profile or os.environ.get(f"{_PREFIX}PROFILE") or None)


def _refuse_password(what: str, given: Secret, settings: Settings) -> None:
    if has_password(given):
        raise ConfigurationError(
            f"{what} has a password, and other users can see the arguments of a command: set "
            f"{settings.name('SHARED')} instead, or {settings.name('SHARED_FILE')} to a file that contains the "
            "URL; for Postgres, PGPASSFILE works too"
        )


class Settings:
    """The variables of one profile."""

    def __init__(self, environment: Mapping[str, str], profile: str | None) -> None:
        if profile is not None and not _PROFILE.fullmatch(profile):
            raise ConfigurationError(f"{profile!r} is not a valid profile name; use letters, digits and _")
        self._environment = environment
        self._prefix = _PREFIX if profile is None else f"{_PREFIX}{profile.upper().replace('-', '_')}_"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._prefix}…>"

    def name(self, setting: str) -> str:
        """The name of a variable."""
        return self._prefix + setting

    def find(self, setting: str) -> str | None:
        """Its value; `None` if it is not set, or empty."""
        return self._environment.get(self.name(setting)) or None

    def refuse(self, setting: str, hint: str) -> ConfigurationError:
        """The error for a variable that is not set."""
        own = self._prefix == _PREFIX or not self._environment.get(_PREFIX + setting)
        other = "" if own else f" ({_PREFIX}{setting} does not apply to a named profile)"
        return ConfigurationError(f"{self.name(setting)} is not set{other}; {hint}")

    def find_base_url(self) -> Secret:
        """The address of the server."""
        return Secret(self.find("BASE_URL") or BASE_URL)

    def find_location(self) -> str:
        """The id of the location. Raises `ConfigurationError` without one."""
        location_id = self.find("LOCATION_ID")
        if location_id is None:
            raise self.refuse("LOCATION_ID", self._explain_location())
        return location_id

    def _explain_location(self) -> str:
        if self.find("CLIENT_ID") is None:
            return "set it to the id of the location (Sub-Account)"
        return (
            "an app has a token for each location: set it to the id of the location (Sub-Account) to work on, "
            "where the app must be installed"
        )

    def find_token_kind(self) -> str | None:
        """The name of the variable that says where the token comes from; `None` without one.

        Raises `ConfigurationError` where several are set.
        """
        kind = self._choose(*_KINDS)
        return None if kind is None else self.name(kind)

    def find_shared(self) -> Secret | None:
        """The URL of the store that processes share; `None` without one."""
        match self._choose("SHARED", "SHARED_FILE", "SHARED_COMMAND"):
            case "SHARED":
                return Secret(self.find("SHARED") or "")
            case "SHARED_FILE":
                return read_secret(self.name("SHARED_FILE"), self.find("SHARED_FILE") or "")
            case "SHARED_COMMAND":
                return run_for_secret(self.name("SHARED_COMMAND"), Secret(self.find("SHARED_COMMAND") or ""))
            case _:
                return None

    def make_token(
        self, location_id: str, shared: Shared | None = None, *, allow_plaintext: bool = False
    ) -> TokenProvider:
        """The provider of the token. The tokens of an app are in a store of their own, or in the shared one."""
        match self._choose(*_KINDS):
            case "TOKEN":
                return LocationToken(Secret(self.find("TOKEN") or ""), location_id, self._describe_other())
            case "TOKEN_FILE":
                token = read_secret(self.name("TOKEN_FILE"), self.find("TOKEN_FILE") or "")
                return LocationToken(token, location_id, self._describe_other())
            case "TOKEN_COMMAND":
                return CommandToken(self.name("TOKEN_COMMAND"), self.find("TOKEN_COMMAND") or "", location_id)
            case "CLIENT_ID":
                return self._make_app(shared, allow_plaintext=allow_plaintext).provider(location_id)
            case _:
                raise self.refuse("TOKEN", "set it to a Private Integration Token, or see leadconnector --help")

    def _make_app(self, shared: Shared | None, *, allow_plaintext: bool) -> OAuthApp:
        store = self._make_token_store(shared, allow_plaintext=allow_plaintext)
        match self._choose("CLIENT_SECRET", "CLIENT_SECRET_FILE"):
            case "CLIENT_SECRET":
                secret = Secret(self.find("CLIENT_SECRET") or "")
            case "CLIENT_SECRET_FILE":
                secret = read_secret(self.name("CLIENT_SECRET_FILE"), self.find("CLIENT_SECRET_FILE") or "")
            case _:
                raise self.refuse(
                    "CLIENT_SECRET",
                    "set it to the secret of the app, or …_CLIENT_SECRET_FILE to a file that contains it",
                )
        return OAuthApp(self.find("CLIENT_ID") or "", secret, store=store, base_url=self.find_base_url())

    def _make_token_store(self, shared: Shared | None, *, allow_plaintext: bool) -> TokenStore:
        place = Secret(self.find("TOKEN_STORE") or "")
        scheme, separator, service = place.partition("://")
        if separator and scheme.lower() == "keyring":
            return KeyringTokenStore(unquote(service))
        if "://" in place:
            return open_token_store(place, allow_plaintext=allow_plaintext)
        if place:
            return FileTokenStore(place)
        if shared is None:
            hint = f"set it to the file or the URL of the store of the app's tokens, or set {self.name('SHARED')}"
            raise self.refuse("TOKEN_STORE", hint)
        return shared.token_store()

    def _choose(self, *settings: str) -> str | None:
        """The one that is set. Raises `ConfigurationError` where several are."""
        given = [setting for setting in settings if self.find(setting) is not None]
        if len(given) > 1:
            names = " and ".join(map(self.name, given))
            raise ConfigurationError(f"{names} are both set; keep only one of them")
        return given[0] if given else None

    def _describe_other(self) -> str:
        return f"for plans of several locations, set {self.name('TOKEN_COMMAND')} or use an OAuth app"
