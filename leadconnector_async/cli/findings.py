"""What `leadconnector doctor` finds: a result of each check, and what a response says by itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from .._api.errors import lacks_scope
from .._api.statuses import find_traits
from .._limiter.headers import Quota
from .._secret import Secret
from ..exceptions import ApiError, LeadConnectorError
from ..models import Calendar
from ..response import Response
from .exit_codes import CAN_RESUME, DAY_SPENT, DONE, FAILED, NO_ACCESS, USAGE, code_for

State: TypeAlias = Literal["ok", "warning", "failed", "skipped"]

_MOST_SECONDS_OFF: Final = 30.0
"""A clock that is further off than this makes tokens expire early, and valid webhooks stale."""
_FEW: Final = 0.1
"""Of the requests of a day."""
_QUOTES: Final = "\"'`\u2018\u2019\u201c\u201d"


class Finding(Struct, frozen=True):
    """The result of one check."""

    check: str
    state: State
    text: str
    """What was found; if something is wrong, also what to do. No secret."""
    code: int = DONE
    """The exit code that a failure means."""


def choose_code(findings: Iterable[Finding]) -> int:
    """The exit code of the first failure: later ones may follow from it."""
    return next((one.code for one in findings if one.state == "failed"), DONE)


def blame(check: str, error: LeadConnectorError) -> Finding:
    """A check that failed with an error, whose text says what to do.

    The only write is one that cannot be applied, so a lost response to it leaves nothing in doubt.
    """
    if error.outcome == "not_applied":
        return Finding(check, "failed", str(error), code_for(error))
    return Finding(check, "failed", str(error.args[0]), CAN_RESUME)


def find_paste_mistake(name: str, token: Secret) -> Finding | None:
    """What was pasted together with a token; `None` if it looks right."""
    if token != token.strip():
        what = "a line break" if any(end in token for end in "\r\n") else "whitespace"
        return _refuse_token(name, f"was pasted with {what} before or after the token; set it to the token alone")
    if token and (token[0] in _QUOTES or token[-1] in _QUOTES):
        return _refuse_token(name, "has quotation marks around the token; set it to the token alone")
    return None


def _refuse_token(name: str, reason: str) -> Finding:
    return Finding("token", "failed", f"{name} {reason}", USAGE)


def describe_token(name: str, token: Secret, *, renewed: bool) -> Finding:
    """A token that can be sent. `renewed`: whether a new one is obtained when it expires."""
    if token.startswith("pit-"):
        return Finding("token", "ok", f"a Private Integration Token, from {name}")
    if renewed:
        return Finding("token", "ok", f"an access token, from {name}")
    text = f"{name} does not begin with pit-: an access token expires within a day and is not renewed here"
    return Finding(
        "token", "warning", f"{text}. Set it to a Private Integration Token, or set LEADCONNECTOR_CLIENT_ID"
    )


def find_foreign(listed: Response[list[Calendar]]) -> Finding | None:
    """A success without any list, such as that of a gateway which accepts everything; `None` for the API's own."""
    if "calendars" not in listed.unread:
        return None
    text = f"the response to the list of calendars is HTTP {listed.status} without one, so it is not HighLevel's"
    return Finding("API", "failed", f"{text}. Check BASE_URL, and what is between this machine and it", FAILED)


def judge_scope(scope: str, error: LeadConnectorError | None, need: str) -> Finding:
    """What the response to a request for something that does not exist says about its scope.

    A missing scope is refused with 401 before the request is looked at [field]. `need`: what cannot be done without
    it; empty if nothing can.
    """
    check = f"scope {scope}"
    if error is None or (isinstance(error, ApiError) and find_traits(error.status).is_about_content):
        return Finding(check, "ok", "granted")
    if not lacks_scope(error):
        failed = blame(check, error)
        return Finding(check, "failed", f"could not be checked: {failed.text}", failed.code)
    add = f"the token lacks it{need}. Add it to the Private Integration, or to the app and connect the app again"
    text = f"{add}; a token that exists gets it after some minutes"
    return Finding(check, "warning" if need else "failed", text, DONE if need else NO_ACCESS)


def judge_clock(date: str | None, began: float, ended: float) -> Finding:
    """Compare the `Date` of a response with this machine's time when the request began and when it ended.

    A `Date` has whole seconds: the server's time was between it and a second later.
    """
    try:
        server = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return Finding("clock", "skipped", "the response has no Date header to compare with")
    ahead, behind = began - (server + 1), server - ended
    off = max(ahead, behind)
    if off <= _MOST_SECONDS_OFF:
        return Finding("clock", "ok", "agrees with the server's")
    which = "ahead of" if ahead > behind else "behind"
    text = f"this machine's clock is {off:.0f} s {which} the server's"
    more = "tokens are refreshed at the wrong time and webhooks are refused. Set it, for example with NTP"
    return Finding("clock", "warning", f"{text}: {more}")


def judge_limits(quota: Quota) -> Finding:
    """What remains of the requests of a window and of a day."""
    known = quota.limit is not None and quota.interval is not None
    parts = [f"{quota.limit} requests in {quota.interval:g} s"] if known else []
    if quota.daily_remaining is not None:
        of_all = "" if quota.daily_limit is None else f" of {quota.daily_limit}"
        parts.append(f"{quota.daily_remaining}{of_all} left today")
    if not parts:
        text = "the response has no rate-limit headers, so the documented limits apply: 100 requests in 10 s"
        return Finding("limits", "warning", f"{text}. If there is a proxy, let it pass x-ratelimit-* headers")
    text = ", ".join(parts)
    if quota.daily_remaining == 0:
        return Finding("limits", "failed", f"{text}. Try again {_name_reset(quota)}", DAY_SPENT)
    if quota.daily_limit and quota.daily_remaining is not None and quota.daily_remaining < quota.daily_limit * _FEW:
        return Finding("limits", "warning", f"{text}. Large jobs may have to wait; more {_name_reset(quota)}")
    return Finding("limits", "ok", text)


def _name_reset(quota: Quota) -> str:
    return "tomorrow" if quota.daily_reset is None else f"in {quota.daily_reset / 3600:.1f} h"
