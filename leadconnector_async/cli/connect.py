"""Which account a command works for: everything that it must know comes from the environment.

| variable | is |
| --- | --- |
| `LEADCONNECTOR_TOKEN` | a Private Integration Token or an access token |
| `LEADCONNECTOR_TOKEN_FILE` | a file that holds it, readable for its owner only |
| `LEADCONNECTOR_TOKEN_COMMAND` | a command that prints it, for the location in `LEADCONNECTOR_LOCATION_ID` |
| `LEADCONNECTOR_CLIENT_ID`, `_CLIENT_SECRET`, `_TOKEN_STORE` | an OAuth app, and the file of its tokens |
| `LEADCONNECTOR_LOCATION_ID` | the location (Sub-Account) |
| `LEADCONNECTOR_BASE_URL` | another server, such as the sandbox |

With `--profile clinic`, or `LEADCONNECTOR_PROFILE=clinic`, they are called `LEADCONNECTOR_CLINIC_TOKEN` and so on.

Rule: a secret comes from the environment, a file or a command, never from a flag, and goes into no output. A
profile never mixes with the variables of another.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import stat
from collections.abc import Mapping
from typing import Final

from ..auth import TokenProvider
from ..client import LeadConnector
from ..exceptions import ConfigurationError
from ..oauth import AppTokens, OAuthApp
from ..token_stores import FileTokenStore

_PREFIX: Final = "LEADCONNECTOR_"
_KINDS: Final = ("TOKEN", "TOKEN_FILE", "TOKEN_COMMAND", "CLIENT_ID")
_COMMAND_SECONDS: Final = 30.0


def make_client(profile: str | None = None) -> LeadConnector:
    """The client for a profile. Raises `ConfigurationError` that says which variable to set."""
    settings = Settings(os.environ, profile or os.environ.get(f"{_PREFIX}PROFILE"))
    location_id = settings.find("LOCATION_ID")
    if location_id is None:
        raise ConfigurationError(f"{settings.name('LOCATION_ID')} is not set: the id of the location (Sub-Account)")
    token = settings.make_token(location_id)
    base_url = settings.find("BASE_URL")
    app_info = "leadconnector-cli"
    if base_url is None:
        return LeadConnector(token, location_id=location_id, app_info=app_info)
    return LeadConnector(token, location_id=location_id, base_url=base_url, app_info=app_info)


class Settings:
    """The variables of one profile."""

    def __init__(self, environment: Mapping[str, str], profile: str | None) -> None:
        if profile is not None and not profile.replace("-", "_").isidentifier():
            raise ConfigurationError(f"{profile!r} is no name of a profile: use letters, digits and _")
        self._environment = environment
        self._prefix = _PREFIX if profile is None else f"{_PREFIX}{profile.upper().replace('-', '_')}_"

    def name(self, setting: str) -> str:
        """How a variable is called."""
        return self._prefix + setting

    def find(self, setting: str) -> str | None:
        """Its value; `None` if it is not set, or empty."""
        return self._environment.get(self.name(setting)) or None

    def make_token(self, location_id: str) -> str | TokenProvider:
        """The token, or what gets one."""
        given = [kind for kind in _KINDS if self.find(kind) is not None]
        if len(given) > 1:
            names = " and ".join(map(self.name, given))
            raise ConfigurationError(f"{names} are set: which one is meant? Keep one of them")
        match given:
            case ["TOKEN"]:
                return self.find("TOKEN") or ""
            case ["TOKEN_FILE"]:
                return read_secret(self.name("TOKEN_FILE"), self.find("TOKEN_FILE") or "")
            case ["TOKEN_COMMAND"]:
                return CommandToken(self.name("TOKEN_COMMAND"), self.find("TOKEN_COMMAND") or "", location_id)
            case ["CLIENT_ID"]:
                return self._make_app().for_location(location_id)
            case _:
                mend = "set it to a Private Integration Token, or see leadconnector --help"
                raise ConfigurationError(f"{self.name('TOKEN')} is not set: {mend}")

    def _make_app(self) -> AppTokens:
        path = self.find("TOKEN_STORE")
        if path is None:
            raise ConfigurationError(f"{self.name('TOKEN_STORE')} is not set: the file that keeps the app's tokens")
        secret = self.find("CLIENT_SECRET")
        file = self.find("CLIENT_SECRET_FILE")
        if secret is None and file is not None:
            secret = read_secret(self.name("CLIENT_SECRET_FILE"), file)
        if secret is None:
            raise ConfigurationError(f"{self.name('CLIENT_SECRET')} is not set")
        client_id, base_url = self.find("CLIENT_ID") or "", self.find("BASE_URL")
        store = FileTokenStore(path)
        if base_url is None:
            return OAuthApp(client_id, secret, store=store).provider("")
        return OAuthApp(client_id, secret, store=store, base_url=base_url).provider("")


def read_secret(name: str, path: str) -> str:
    """The first line of a file that nobody else may read."""
    try:
        with open(path, encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise ConfigurationError(f"{name}: others can read {path}; run: chmod 600 {shlex.quote(path)}")
            return file.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
    raise ConfigurationError(f"{name}: {path} cannot be read ({reason})")


class CommandToken:
    """A token that a command prints; asked for once, and again when the server refuses it."""

    def __init__(self, name: str, command: str, location_id: str) -> None:
        self._name = name
        self._command = command
        self._location_id = location_id
        self._token: str | None = None
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._location_id!r}>"

    async def __call__(self) -> str:
        """The token to use now."""
        async with self._turn:
            if self._token is None:
                self._token = await self._ask()
            return self._token

    async def refresh(self, rejected: str) -> str:
        """A token other than the one that was refused, if the command has another one."""
        async with self._turn:
            if self._token is None or self._token == rejected:
                self._token = await self._ask()
            return self._token

    def for_location(self, location_id: str) -> CommandToken:
        """The same command for another location."""
        return CommandToken(self._name, self._command, location_id)

    async def _ask(self) -> str:
        environment = {**os.environ, f"{_PREFIX}LOCATION_ID": self._location_id}
        try:
            process = await asyncio.create_subprocess_exec(
                *shlex.split(self._command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env=environment,
            )
        except (OSError, ValueError) as error:
            reason = type(error).__name__
        else:
            reason, token = await _read_token(process)
            if token:
                return token
        raise ConfigurationError(f"{self._name} gave no token for location {self._location_id} ({reason})")


async def _read_token(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """Why there is no token, or the token."""
    try:
        async with asyncio.timeout(_COMMAND_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        return f"it took longer than {_COMMAND_SECONDS:g} s", ""
    if process.returncode:
        return f"it ended with exit code {process.returncode}", ""
    return "it printed nothing", output.decode("utf-8", "replace").partition("\n")[0].strip()
