"""Which account a command works for: everything that it must know comes from the environment.

| variable | is |
| --- | --- |
| `LEADCONNECTOR_TOKEN` | a Private Integration Token or an access token |
| `LEADCONNECTOR_TOKEN_FILE` | a file that holds it, readable for its owner only |
| `LEADCONNECTOR_TOKEN_COMMAND` | a command that prints it, for the location in `LEADCONNECTOR_LOCATION_ID` |
| `LEADCONNECTOR_CLIENT_ID`, `_CLIENT_SECRET`, `_TOKEN_STORE` | an OAuth app, and the file of its tokens |
| `LEADCONNECTOR_CLIENT_SECRET_FILE` | a file that holds the secret, readable for its owner only |
| `LEADCONNECTOR_LOCATION_ID` | the location (Sub-Account) |
| `LEADCONNECTOR_BASE_URL` | another server, such as the sandbox |

With `--profile clinic`, or `LEADCONNECTOR_PROFILE=clinic`, they are called `LEADCONNECTOR_CLINIC_TOKEN` and so on.

Rule: a secret comes from the environment, a file or a command, never from a flag, and goes into no output. A
profile never mixes with the variables of another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from .._address import BASE_URL
from .._secret import Secret
from ..auth import TokenProvider
from ..client import LeadConnector
from ..exceptions import ConfigurationError
from ..oauth import OAuthApp
from ..token_stores import FileTokenStore
from .token_sources import CommandToken, LocationToken, read_secret

_PREFIX: Final = "LEADCONNECTOR_"
_KINDS: Final = ("TOKEN", "TOKEN_FILE", "TOKEN_COMMAND", "CLIENT_ID")
_PROFILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def make_client(profile: str | None = None) -> LeadConnector:
    """The client for a profile. Raises `ConfigurationError` that says which variable to set."""
    settings = Settings(os.environ, profile or os.environ.get(f"{_PREFIX}PROFILE") or None)
    location_id = settings.find("LOCATION_ID")
    if location_id is None:
        raise settings.refuse("LOCATION_ID", "the id of the location (Sub-Account)")
    token = settings.make_token(location_id)
    base_url = Secret(settings.find("BASE_URL") or BASE_URL)
    return LeadConnector(token, location_id=location_id, base_url=base_url, app_info="leadconnector-cli")


class Settings:
    """The variables of one profile."""

    def __init__(self, environment: Mapping[str, str], profile: str | None) -> None:
        if profile is not None and not _PROFILE.fullmatch(profile):
            raise ConfigurationError(f"{profile!r} is not a valid profile name: use letters, digits and _")
        self._environment = environment
        self._prefix = _PREFIX if profile is None else f"{_PREFIX}{profile.upper().replace('-', '_')}_"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._prefix}…>"

    def name(self, setting: str) -> str:
        """How a variable is called."""
        return self._prefix + setting

    def find(self, setting: str) -> str | None:
        """Its value; `None` if it is not set, or empty."""
        return self._environment.get(self.name(setting)) or None

    def refuse(self, setting: str, mend: str) -> ConfigurationError:
        """The error for a variable that is not set."""
        own = self._prefix == _PREFIX or not self._environment.get(_PREFIX + setting)
        other = "" if own else f" ({_PREFIX}{setting} is not for a profile that is named)"
        return ConfigurationError(f"{self.name(setting)} is not set{other}: {mend}")

    def make_token(self, location_id: str) -> TokenProvider:
        """What gets the token."""
        match self._choose(*_KINDS):
            case "TOKEN":
                return LocationToken(Secret(self.find("TOKEN") or ""), location_id, self._mend_other())
            case "TOKEN_FILE":
                token = read_secret(self.name("TOKEN_FILE"), self.find("TOKEN_FILE") or "")
                return LocationToken(token, location_id, self._mend_other())
            case "TOKEN_COMMAND":
                return CommandToken(self.name("TOKEN_COMMAND"), self.find("TOKEN_COMMAND") or "", location_id)
            case "CLIENT_ID":
                return self._make_app().provider(location_id)
            case _:
                raise self.refuse("TOKEN", "set it to a Private Integration Token, or see leadconnector --help")

    def _make_app(self) -> OAuthApp:
        path = self.find("TOKEN_STORE")
        if path is None:
            raise self.refuse("TOKEN_STORE", "the file that keeps the app's tokens")
        match self._choose("CLIENT_SECRET", "CLIENT_SECRET_FILE"):
            case "CLIENT_SECRET":
                secret = Secret(self.find("CLIENT_SECRET") or "")
            case "CLIENT_SECRET_FILE":
                secret = read_secret(self.name("CLIENT_SECRET_FILE"), self.find("CLIENT_SECRET_FILE") or "")
            case _:
                raise self.refuse("CLIENT_SECRET", "the secret of the app, or its file in …_CLIENT_SECRET_FILE")
        base_url = Secret(self.find("BASE_URL") or BASE_URL)
        return OAuthApp(self.find("CLIENT_ID") or "", secret, store=FileTokenStore(path), base_url=base_url)

    def _choose(self, *settings: str) -> str | None:
        """The one that is set. Raises `ConfigurationError` where several are."""
        given = [setting for setting in settings if self.find(setting) is not None]
        if len(given) > 1:
            names = " and ".join(map(self.name, given))
            raise ConfigurationError(f"{names} are set: which one is meant? Keep one of them")
        return given[0] if given else None

    def _mend_other(self) -> str:
        return f"set {self.name('TOKEN_COMMAND')}, or an OAuth app, for plans of several locations"
