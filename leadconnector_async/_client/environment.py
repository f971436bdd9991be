"""What `LeadConnector.from_env` reads from the environment, and what it can be passed instead."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, TypedDict

import aiohttp

from .._secret import Secret
from ..access import Access, Approve, check_access
from ..events import EventHandler
from ..exceptions import ConfigurationError
from ..policy import Priority, RateLimit, RetryPolicy, Timeouts

if TYPE_CHECKING:
    from ..shared import Shared


class ClientOptions(TypedDict, total=False):
    """The keyword arguments of `LeadConnector`, and so of `from_env`."""

    location_id: str | None
    """As for `LeadConnector`."""
    base_url: str
    """As for `LeadConnector`."""
    version: str
    """As for `LeadConnector`."""
    timeouts: Timeouts | None
    """As for `LeadConnector`."""
    retry: RetryPolicy | None
    """As for `LeadConnector`."""
    rate_limit: RateLimit | None
    """As for `LeadConnector`."""
    shared: Shared | None
    """As for `LeadConnector`."""
    priority: Priority
    """As for `LeadConnector`."""
    session: aiohttp.ClientSession | None
    """As for `LeadConnector`."""
    app_info: str | None
    """As for `LeadConnector`."""
    on_event: EventHandler | None
    """As for `LeadConnector`."""
    access: Access
    """As for `LeadConnector`."""
    approve: Approve | None
    """As for `LeadConnector`."""


def read_token() -> Secret:
    """The token. Raises `ConfigurationError` without one."""
    token = Secret(os.environ.get("LEADCONNECTOR_TOKEN", ""))
    if not token:
        raise ConfigurationError("LEADCONNECTOR_TOKEN is not set; set it to the token of the Sub-Account")
    return token


def add_environment(options: ClientOptions) -> bool:
    """Add what is not passed, and take writes away. Returns whether it has opened a store.

    Raises `ConfigurationError`.
    """
    _set_log_level(os.environ.get("LEADCONNECTOR_LOG"))
    if check_access(os.environ.get("LEADCONNECTOR_ACCESS") or "write", "LEADCONNECTOR_ACCESS") == "read":
        options["access"] = "read"
    if location_id := os.environ.get("LEADCONNECTOR_LOCATION_ID"):
        options.setdefault("location_id", location_id)
    if base_url := Secret(os.environ.get("LEADCONNECTOR_BASE_URL", "")):
        options.setdefault("base_url", base_url)
    url = Secret(os.environ.get("LEADCONNECTOR_SHARED", ""))
    if not url or "shared" in options:
        return False
    from ..shared import Shared  # noqa: PLC0415 - most programs share nothing

    options["shared"] = Shared(url)
    return True


def _set_log_level(name: str | None) -> None:
    if not name:
        return
    from .._call.emit import LOGGER  # noqa: PLC0415 - the client that follows needs it, the package does not

    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        raise ConfigurationError(f"LEADCONNECTOR_LOG is {name!r}; use debug, info, warning or error")
    logging.basicConfig()
    LOGGER.setLevel(level)
