"""The client of a command: its token, location and address, from environment, file or another command."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import stat
import subprocess
from collections.abc import Mapping
from typing import Final, Literal, overload

from .._call.base_url import BASE_URL
from .._secret import Secret, conceal, strip
from .._sharing.url import has_password
from ..access import Access, check_access, check_may_write
from ..auth import TokenProvider, check_token
from ..client import LeadConnector, own_shared
from ..exceptions import ConfigurationError
from ..oauth import OAuthApp
from ..policy import RateLimit
from ..shared import Shared
from ..shared_tokens import open_token_store
from ..token_stores import FileTokenStore, TokenStore
from .arguments import ACCOUNT, Account

_PREFIX: Final = "LEADCONNECTOR_"
_KINDS: Final = ("TOKEN", "TOKEN_FILE", "TOKEN_COMMAND", "CLIENT_ID")
_PROFILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def make_client(
    account: Account = ACCOUNT, reserve: int | None = None, *, to_write: str | None = None
) -> LeadConnector:
    """The client of an account. Raises `ConfigurationError` naming the variable to set.

    `reserve`: the requests of each window that bulk calls leave to others; `None` follows demand. `to_write`: the
    command, if it writes; raises `ReadOnlyError` if nothing may be changed.
    """
    access = _choose_access(account)
    if to_write is not None:
        check_may_write(access, to_write)
    limit = _make_limit(reserve)
    profile = account.profile or os.environ.get(f"{_PREFIX}PROFILE") or None
    settings = Settings(os.environ, profile)
    location_id = settings.find("LOCATION_ID")
    if location_id is None:
        raise settings.refuse("LOCATION_ID", "set it to the id of the location (Sub-Account)")
    shared = make_shared(account.shared, profile, allow_plaintext=account.allow_plaintext)
    token = settings.make_token(location_id, shared, allow_plaintext=account.allow_plaintext)
    base_url = Secret(settings.find("BASE_URL") or BASE_URL)
    client = LeadConnector(
        token,
        location_id=location_id,
        base_url=base_url,
        rate_limit=limit,
        shared=shared,
        app_info="leadconnector-cli",
        access=access,
    )
    return own_shared(client)


def _choose_access(account: Account) -> Access:
    """`read` if the flag says so, or the variable of the profile or of all profiles."""
    profile = account.profile or os.environ.get(f"{_PREFIX}PROFILE") or None
    names = (f"{_PREFIX}ACCESS", Settings(os.environ, profile).name("ACCESS"))
    found = [check_access(os.environ.get(name) or "write", name) for name in names]
    return "read" if account.read_only or "read" in found else "write"


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
    settings = Settings(os.environ, profile or os.environ.get(f"{_PREFIX}PROFILE") or None)
    given = None if url is None else Secret(url)
    del url
    if given is not None and has_password(given):
        raise ConfigurationError(
            "the URL of the shared store has a password, and other users can see the arguments of a command: set "
            f"{settings.name('SHARED')} instead, or {settings.name('SHARED_FILE')} to a file that contains the "
            "URL; for Postgres, PGPASSFILE works too"
        )
    given = given if given is not None else settings.find_shared()
    if given is not None:
        return Shared(given, allow_plaintext=allow_plaintext)
    if required:
        raise settings.refuse("SHARED", "pass the URL of the store, or set it to that URL")
    return None


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
        base_url = Secret(self.find("BASE_URL") or BASE_URL)
        return OAuthApp(self.find("CLIENT_ID") or "", secret, store=store, base_url=base_url)

    def _make_token_store(self, shared: Shared | None, *, allow_plaintext: bool) -> TokenStore:
        place = Secret(self.find("TOKEN_STORE") or "")
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


LOCATION_VARIABLE: Final = "LEADCONNECTOR_LOCATION_ID"
"""Tells a command the location whose token is requested."""
_COMMAND_SECONDS: Final = 30.0
_LAST_SECONDS: Final = 1.0


def read_secret(name: str, path: str) -> Secret:
    """The first line of a file that nobody else may read. `name` is the variable that holds its path."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise ConfigurationError(
                    f"{name}: {path} is readable by other users; run: chmod 600 {shlex.quote(path)}"
                )
            secret = Secret(file.readline().strip())
    except (OSError, UnicodeDecodeError) as error:
        secret, reason = Secret(), error.strerror if isinstance(error, OSError) else "not UTF-8 text"
    else:
        reason = "the first line is empty"
    if not secret:  # outside of the `except`: what cannot be decoded is in the error
        raise ConfigurationError(f"{name}: {path} cannot be read ({reason})")
    return secret


def run_for_secret(name: str, command: Secret) -> Secret:
    """The first line that a command prints. `name` is the variable that holds the command."""
    words = _split(name, command)
    reason = "the first line of its output is empty"
    try:
        ended = subprocess.run(  # noqa: S603 - the user's own command
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, timeout=_COMMAND_SECONDS
        )
    except subprocess.CalledProcessError as error:
        secret, reason = Secret(), f"exit code {error.returncode}"
    except subprocess.TimeoutExpired:
        secret, reason = Secret(), f"it did not finish within {_COMMAND_SECONDS:g} s"
    except (OSError, ValueError) as error:
        secret, reason = Secret(), getattr(error, "strerror", None) or "it cannot be run"
    else:
        secret = Secret(ended.stdout.decode("utf-8", "replace").partition("\n")[0].strip())
        del ended
    if not secret:  # outside of the `except`: the error holds the command
        raise ConfigurationError(f"{name} returned nothing: {reason}")
    return secret


class LocationToken:
    """A fixed token of one location."""

    def __init__(self, token: str, location_id: str, hint: str) -> None:
        given = conceal(token)
        del token
        self._token = check_token(given)
        self._location_id = location_id
        self._hint = hint

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {vars(self).get('_location_id')!r}>"

    async def __call__(self) -> str:
        """The token."""
        return self._token

    def for_location(self, location_id: str) -> LocationToken:
        """Itself; raises `ConfigurationError` for another location."""
        if location_id != self._location_id:
            raise ConfigurationError(f"the token is valid for location {self._location_id} only; {self._hint}")
        return self


class CommandToken:
    """A token that a command prints. It runs once per location, and again when the server rejects the token."""

    def __init__(
        self, name: str, command: str, location_id: str, others: dict[str, CommandToken] | None = None
    ) -> None:
        given = Secret(command)
        del command  # it may hold a secret, and an error shows the parameters of each function
        self._name = name
        self._command = given
        self._words = _split(name, given)
        self._location_id = location_id
        self._token: str | None = None
        self._lock = asyncio.Lock()
        self._all: dict[str, CommandToken] = {} if others is None else others
        self._all[location_id] = self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {vars(self).get('_location_id')!r}>"

    async def __call__(self) -> str:
        """The token to use now."""
        async with self._lock:
            if self._token is None:
                self._token = await self._run()
            return self._token

    async def refresh(self, rejected: str) -> str:
        """Run the command again, unless that was done since the token was rejected."""
        rejected = Secret(rejected)
        async with self._lock:
            if self._token is None or self._token == rejected:
                self._token = await self._run()
            return self._token

    def for_location(self, location_id: str) -> CommandToken:
        """The same command for another location; one object per location."""
        known = self._all.get(location_id)
        return known or CommandToken(self._name, self._command, location_id, self._all)

    async def _run(self) -> str:
        """Run the command; its stderr is passed through."""
        transport, listener = await self._start(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(_COMMAND_SECONDS):
                await listener.closed
        except TimeoutError:
            raise self._refuse(f"it did not finish within {_COMMAND_SECONDS:g} s") from None
        finally:
            transport.close()
            await asyncio.wait([listener.ended], timeout=_LAST_SECONDS)
        if code := transport.get_returncode():
            raise self._refuse(f"exit code {code}")
        token = Secret(listener.output.decode("utf-8", "replace").partition("\n")[0].strip())
        if not token:
            raise self._refuse("the first line of its output is empty")
        return token

    async def _start(self, loop: asyncio.AbstractEventLoop) -> tuple[asyncio.SubprocessTransport, _Listener]:
        """Start the command. The frames of asyncio hold the whole environment: none of them may go further."""
        try:
            return await loop.subprocess_exec(
                lambda: _Listener(loop),
                *self._words,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=None,
                env={**os.environ, LOCATION_VARIABLE: self._location_id},
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it cannot be run"
            ended: BaseException = self._refuse(reason or type(error).__name__)
        except BaseException as error:
            ended = error
        try:
            raise strip(ended)
        finally:
            del ended

    def _refuse(self, reason: str) -> ConfigurationError:
        return ConfigurationError(f"{self._name} returned no token for location {self._location_id}: {reason}")


class _Listener(asyncio.SubprocessProtocol):
    """Collects what a command prints. Its children may keep its output open, so their end is not awaited."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.output = bytearray()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output += data

    def process_exited(self) -> None:
        _complete(self.ended)

    def connection_lost(self, exc: Exception | None) -> None:
        _complete(self.closed)


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _split(name: str, command: Secret) -> list[str]:
    reason = "it is empty"
    try:
        if words := shlex.split(command):
            return [Secret(word) for word in words]
    except ValueError as error:
        reason = str(error)
    raise ConfigurationError(
        f"{name} is not a valid command: {reason}"
    )  # outside of the `except`: shlex holds the text
