"""The checks of `leadconnector doctor`: settings, store, token and proxy first, then a few requests.

Nothing is changed. Whether the token may write is found out with an update of an event whose id cannot exist, to a
status that does not exist: either is reason enough to refuse it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from yarl import URL

from .._api.errors import lacks_scope
from .._call.base_url import check_base_url
from .._call.proxy import find_proxy
from .._secret import Secret
from ..access import Access
from ..auth import TokenProvider
from ..client import LeadConnector
from ..exceptions import ConfigurationError, LeadConnectorError, PermissionDeniedError
from ..models import Calendar
from ..policy import RetryPolicy, Timeouts
from ..response import Response, with_response
from ..shared import Shared
from .arguments import Account
from .connect import Settings, choose_access, find_settings, make_shared, open_client
from .exit_codes import CAN_RESUME, FAILED, NO_ACCESS
from .findings import (
    Finding,
    blame,
    describe_token,
    find_foreign,
    find_paste_mistake,
    judge_clock,
    judge_limits,
    judge_scope,
)
from .tokens import LocationToken

Report = Callable[[Finding], None]

NO_EVENT: Final = "leadconnector-doctor-no-such-event"
"""Ids have 20 letters and digits, and those of instances underscores as well: no id has a hyphen."""
NO_STATUS: Final = "leadconnector-doctor-no-such-status"
READ: Final = RetryPolicy(max_attempts=2, deadline=30)
WRITE: Final = RetryPolicy(max_attempts=1, deadline=30, on_ambiguous="raise")
_WRITE: Final = "calendars/events.write"
_TIMEOUTS: Final = Timeouts(connect=5, total=10)
_PROXY_SECONDS: Final = 5.0
_WITHOUT_LOCATION: Final = "no-location"


async def examine(account: Account, report: Report) -> None:
    """Check an account from the settings to the limits; `report` gets each result at once.

    Raises `ConfigurationError` for a profile whose name is not valid.
    """
    settings = find_settings(account.profile)
    shared = await _check_shared(account, settings, report)
    try:
        location_id = settings.find("LOCATION_ID")
        token = await _check_token(settings, account, shared, report)
        base_url = _check_server(settings, report)
        _check_location(settings, report)
        may_call = base_url is not None and await _check_proxy(base_url, report)
        access = _check_access(account, report)
        if token is None or location_id is None or access is None or not may_call:
            report(Finding("API", "skipped", "nothing was sent: correct the settings first"))
            return
        await _call(settings, token, location_id, access, report)
    finally:
        if shared is not None:
            await shared.aclose()


async def _check_shared(account: Account, settings: Settings, report: Report) -> Shared | None:
    shared: Shared | None = None
    try:
        shared = make_shared(account.shared, account.profile, allow_plaintext=account.allow_plaintext)
        if shared is None:
            hint = f"to share limits between processes, set {settings.name('SHARED')}"
            report(Finding("shared store", "skipped", f"none is set; {hint}"))
            return None
        await shared.check()
    except LeadConnectorError as error:
        report(blame("shared store", error))
    else:
        report(Finding("shared store", "ok", f"{shared.address.shown} can be used"))
    return shared


async def _check_token(
    settings: Settings, account: Account, shared: Shared | None, report: Report
) -> TokenProvider | None:
    """The provider of a token that can be sent; `None` if there is none, or not without a location."""
    location_id = settings.find("LOCATION_ID")
    try:
        name = settings.find_token_kind() or ""
        mistake = find_paste_mistake(settings.name("TOKEN"), Secret(settings.find("TOKEN") or ""))
        if mistake is not None:
            report(mistake)
            return None
        provider = settings.make_token(
            location_id or _WITHOUT_LOCATION, shared, allow_plaintext=account.allow_plaintext
        )
        is_fixed = isinstance(provider, LocationToken)
        if location_id is None and not is_fixed:
            report(Finding("token", "skipped", f"{name} has a token for each location, and none is set"))
            return None
        report(describe_token(name, Secret(await provider()), renewed=not is_fixed))
    except LeadConnectorError as error:
        report(blame("token", error))
        return None
    return provider


def _check_server(settings: Settings, report: Report) -> URL | None:
    try:
        base_url = check_base_url(settings.find_base_url())
    except ConfigurationError as error:
        report(blame("server", error))
        return None
    report(Finding("server", "ok", str(base_url)))
    return base_url


def _check_location(settings: Settings, report: Report) -> None:
    """Report one that is not set; whether the token has access to it is for the server to say."""
    try:
        settings.find_location()
    except ConfigurationError as error:
        report(blame("location", error))


def _check_access(account: Account, report: Report) -> Access | None:
    try:
        access = choose_access(account)
    except ConfigurationError as error:
        report(blame("access", error))
        return None
    return access


async def _check_proxy(base_url: URL, report: Report) -> bool:
    """Whether there is no proxy, or one that accepts connections."""
    try:
        proxy = find_proxy(base_url, None).get("proxy")
    except ConfigurationError as error:
        report(blame("proxy", error))
        return False
    if proxy is None or proxy.host is None:
        why = "http:// never uses one" if base_url.scheme == "http" else "the environment names none for it"
        report(Finding("proxy", "ok", f"not used: {why}"))
        return True
    shown = str(proxy.with_user(None))
    try:
        async with asyncio.timeout(_PROXY_SECONDS):
            _, writer = await asyncio.open_connection(proxy.host, proxy.port)
    except OSError as error:
        reason = error.strerror or f"no connection within {_PROXY_SECONDS:g} s"
        hint = "correct HTTPS_PROXY or ALL_PROXY, or name the server in NO_PROXY"
        report(Finding("proxy", "failed", f"{shown} cannot be reached ({reason}); {hint}", CAN_RESUME))
        return False
    writer.close()
    report(Finding("proxy", "ok", f"{shown} accepts connections"))
    return True


async def _call(settings: Settings, token: TokenProvider, location_id: str, access: Access, report: Report) -> None:
    try:
        client = open_client(settings, token, location_id, shared=None, access=access)
    except ConfigurationError as error:
        report(blame("location", error))
        return
    async with client:
        await check_account(client, report, is_local=settings.find_base_url().startswith("http:"))


async def check_account(client: LeadConnector, report: Report, *, is_local: bool) -> None:
    """Send a request for each thing that the token should be able to do. `is_local`: the server is the sandbox."""
    reader = client.with_options(retry=READ, timeouts=_TIMEOUTS)
    began = time.time()
    listed = await _list_calendars(reader, report)
    ended = time.time()
    if listed is False:
        return
    await _check_scopes(reader, report)
    if listed is None:
        report(Finding("clock", "skipped", "needs a response to the list of calendars"))
        report(Finding("limits", "skipped", "needs a response to the list of calendars"))
        return
    if is_local:
        report(Finding("clock", "skipped", "the server is on this machine"))
    else:
        report(judge_clock(listed.headers.get("Date"), began, ended))
    report(judge_limits(listed.quota))


async def _list_calendars(
    client: LeadConnector, report: Report
) -> Response[list[Calendar]] | Literal[False] | None:
    """The calendars; `None` without the scope for them; `False` if nothing else can be asked for either."""
    try:
        listed = await with_response(client.list_calendars())
    except LeadConnectorError as error:
        return _explain_refusal(client, error, report)
    if (foreign := find_foreign(listed)) is not None:
        report(foreign)
        return False
    report(Finding("API", "ok", "reached, and it accepts the token"))
    report(Finding("location", "ok", f"the token has access to {client.location_id}"))
    count = len(listed.value)
    if count:
        report(Finding("calendars", "ok", f"{count} calendar{'s' * (count != 1)}"))
    else:
        text = f"location {client.location_id} has none; check that this is the Sub-Account that you mean"
        report(Finding("calendars", "warning", text))
    report(judge_scope("calendars.readonly", None, ""))
    return listed


def _explain_refusal(client: LeadConnector, error: LeadConnectorError, report: Report) -> Literal[False] | None:
    accepts = Finding("API", "ok", "reached, and it accepts the token")
    if lacks_scope(error):
        report(accepts)
        report(judge_scope("calendars.readonly", error, ""))
        return None
    if isinstance(error, PermissionDeniedError) and not error.transient:
        report(accepts)
        text = f"{error} The location is {client.location_id}: set LOCATION_ID to that of the token, or use another"
        report(Finding("location", "failed", f"{text} token", NO_ACCESS))
        return False
    report(blame("API", error))
    return False


async def _check_scopes(client: LeadConnector, report: Report) -> None:
    reading = await _probe("calendars/events.readonly", client.get_appointment(NO_EVENT))
    report(reading)
    if client.access == "read":
        report(Finding(f"scope {_WRITE}", "skipped", "not checked: this account is read only"))
    elif reading.code == FAILED:
        report(Finding(f"scope {_WRITE}", "skipped", "not checked: this server is not the API"))
    else:
        report(await _probe(_WRITE, _start_writing(client)))
    report(await _probe("contacts.readonly", client.get_contact(NO_EVENT), ": contacts cannot be read"))


def _start_writing(client: LeadConnector) -> Awaitable[object]:
    writer = client.with_options(retry=WRITE)
    path = f"/calendars/events/appointments/{NO_EVENT}"
    return writer.request("PUT", path, body={"appointmentStatus": NO_STATUS})


async def _probe(scope: str, call: Awaitable[object], need: str = "") -> Finding:
    """Send a request that must be refused, and see why it is."""
    try:
        await call
    except LeadConnectorError as error:
        return judge_scope(scope, error, need)
    text = f"the server accepted a request about {NO_EVENT}, which does not exist: it is not HighLevel's API"
    return Finding(f"scope {scope}", "failed", text, FAILED)
