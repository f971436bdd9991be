"""The settings of a client that its copies can change: their types, their checks, and the headers made of them."""

from __future__ import annotations

from typing import Final, TypedDict

from msgspec import Struct, structs

from ._validation.settings import check_callback, check_kind, to_text
from ._validation.text import show
from ._version import __version__
from .access import Access, Approve, check_access, check_approve
from .events import EventHandler
from .exceptions import ConfigurationError
from .policy import Priority, RetryPolicy, Timeouts, check_priority

VERSION: Final = "2021-04-15"
"""The `Version` header that HighLevel's API reference names [doc]."""


class Settings(Struct, frozen=True, kw_only=True):
    """All of them."""

    version: str
    timeouts: Timeouts
    retry: RetryPolicy
    priority: Priority
    app_info: str | None
    on_event: EventHandler | None
    access: Access
    approve: Approve | None


class Options(TypedDict, total=False):
    """The keyword arguments of `with_options`."""

    version: str
    """As for `LeadConnector`."""
    timeouts: Timeouts
    """As for `LeadConnector`."""
    retry: RetryPolicy
    """As for `LeadConnector`."""
    priority: Priority
    """As for `LeadConnector`."""
    app_info: str | None
    """As for `LeadConnector`."""
    on_event: EventHandler | None
    """As for `LeadConnector`."""
    access: Access
    """As for `LeadConnector`."""
    approve: Approve | None
    """As for `LeadConnector`."""


def check_settings(settings: Settings) -> Settings:
    """Return the settings with plain strings. Raises `ConfigurationError`."""
    check_kind("timeouts", settings.timeouts, Timeouts)
    check_kind("retry", settings.retry, RetryPolicy)
    check_priority(settings.priority)
    check_callback("on_event", settings.on_event)
    check_approve(settings.approve)
    return structs.replace(
        settings,
        version=_check_header("version", settings.version),
        app_info=None if settings.app_info is None else _check_header("app_info", settings.app_info),
        access=check_access(settings.access),
    )


def check_narrower(settings: Settings, options: Options) -> None:
    """Raise `ConfigurationError` if a copy could write what its original cannot."""
    if settings.access == "read" and check_access(options.get("access", "read")) == "write":
        raise ConfigurationError(
            "access='write': the client may only read, and so may its copies; create another client to write"
        )
    if settings.approve is not None and options.get("approve", settings.approve) != settings.approve:
        raise ConfigurationError(
            "approve: the client has one already, which its copies keep; create another client for a different one"
        )


def _check_header(name: str, value: object) -> str:
    text = to_text(value)
    if not text or not (text.isascii() and text.isprintable()) or text != text.strip():
        raise ConfigurationError(f"{name} is {show(value)}; it must be a single line of ASCII text")
    return text


def build_headers(version: str, app_info: str | None) -> dict[str, str]:
    """The headers of every request, without the token."""
    agent = f"leadconnector_async/{__version__}"
    return {
        "Version": version,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": f"{agent} {app_info}" if app_info else agent,
    }
