"""What to do next when a call needs a token: decided here, carried out by `refresh`.

Nothing here waits or reads a clock; times are seconds since the epoch and come in as arguments. Every line of these
tables is a case in `tests/oauth/test_refresh_steps.py`.

`decide_use`, for a call that needs a token. A token is *due* `lead` seconds before it expires. A newer one is
*late* when a code or an agency's token brought it and it could not be saved.

    the saved token                                          decision
    ------------------------------------------------------   -------------------------------------------
    missing or expired                                       refresh        (an error reaches the caller)
    due or late, and an early refresh failed a moment ago    use
    due or late                                              refresh_early  (an error is logged)
    anything else                                            use

`next_step`, for one refresh. Each action is carried out, and its result is the next event; `Use` and `Fail` end it.

    phase       event                                        action           next phase
    ---------   ------------------------------------------   --------------   ----------
    peek        Loaded, usable and nothing late              Use
    peek        Loaded, anything else                        Lock, Load       check
    check       Loaded, an unsaved token supersedes it       Save the latter  save_first
    check       Loaded, nothing                              Fail
    check       Loaded, usable                               Use
    check       Loaded, its refresh token was refused        Load             reread
    check       Loaded, anything else                        Refresh          refresh
    save_first  Saved                                        as `check`, with the token that was saved
    refresh     Refreshed                                    Save             save
    refresh     Refused                                      Load             reread
    refresh     Refused for the second time                  Fail
    reread      Loaded, another one and usable               Use
    reread      Loaded, another one and due                  Refresh          refresh
    reread      Loaded, the same one                         Load after 1/4s  reread
    reread      Loaded, the same one again                   Fail
    save        Saved                                        Use

A refusal is believed only after the store was read again: a process that ignores the lock may have refreshed first.
A token is used only after it was saved, and until then it is remembered, because its refresh token works once.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from .._secret import Masked
from .._validation.text import clean_line
from ..exceptions import ReconnectRequiredError
from ..tokens import StoredToken

_REREAD_AFTER: Final = (0.0, 0.25)
"""Seconds to wait before each reading of the store after a refusal."""


class Unsaved(Masked, Struct, eq=False):
    """A token that is not saved yet."""

    token: StoredToken
    spent: str | None = None
    """The refresh token that brought it; `None` if it came from a code or an agency's token."""
    late: bool = False
    is_told: bool = False
    """It was logged that it could not be saved."""

    def supersedes(self, stored: StoredToken | None) -> bool:
        """Whether nobody has stored a newer one in the meantime."""
        if self.spent is not None:
            return stored is not None and stored.refresh_token == self.spent
        return stored is None or stored.issued_at <= self.token.issued_at


class TokenState(Masked, Struct, eq=False):
    """What this process knows about the tokens of one key."""

    saved: StoredToken | None = None
    """The token in use. It is in the store."""
    unsaved: Unsaved | None = None
    refused: str | None = None
    """The refresh token that the server called used up, expired or revoked."""
    retry_at: float = 0.0
    """No early refresh before this time."""

    @property
    def is_late(self) -> bool:
        """Whether a newer token waits for the store."""
        return self.unsaved is not None and self.unsaved.late

    def begin_save(self, unsaved: Unsaved) -> None:
        """Remember it until it is saved; one that came from a code in the meantime is the newer one."""
        self.unsaved = self.unsaved or unsaved

    def end_save(self, unsaved: Unsaved) -> None:
        """It is in the store, so it may be used."""
        if self.unsaved is unsaved:
            self.unsaved = None
        self.saved, self.retry_at = unsaved.token, 0.0


def decide_use(state: TokenState, now: float, lead: float) -> Literal["use", "refresh_early", "refresh"]:
    """Whether the saved token can be used now."""
    saved = state.saved
    if saved is None or now >= saved.expires_at:
        return "refresh"
    if (is_due(saved, now, lead) or state.is_late) and now >= state.retry_at:
        return "refresh_early"
    return "use"


def is_due(token: StoredToken, now: float, lead: float) -> bool:
    """Whether it is time to refresh; with a life of less than twice the lead, that is half-way through it."""
    half = (token.expires_at - token.issued_at) / 2
    return now >= token.expires_at - min(lead, half)


class Load(Struct, frozen=True):
    """Read the store."""

    delay: float = 0.0
    """Seconds to wait first."""


class Lock(Struct, frozen=True):
    """Take the lock of the key, then read the store."""


class Refresh(Struct, frozen=True):
    """Ask the server for the token after this one."""

    token: StoredToken


class Save(Struct, frozen=True):
    """Write to the store."""

    unsaved: Unsaved


class Use(Struct, frozen=True):
    """Done: this is the token."""

    token: StoredToken


class Fail(Struct, frozen=True):
    """Done: there is no token."""

    error: ReconnectRequiredError


class Loaded(Struct, frozen=True):
    """What is stored."""

    token: StoredToken | None


class Refreshed(Struct, frozen=True):
    """The server gave a token."""

    token: StoredToken


class Refused(Struct, frozen=True):
    """The server will not take this refresh token."""

    error: ReconnectRequiredError


class Saved(Struct, frozen=True):
    """It is in the store."""

    unsaved: Unsaved


Action: TypeAlias = Load | Lock | Refresh | Save | Use | Fail
Event: TypeAlias = Loaded | Refreshed | Refused | Saved
Phase: TypeAlias = Literal["peek", "check", "save_first", "refresh", "reread", "save"]


class RefreshState(Masked, Struct, eq=False):
    """One refresh in progress."""

    key: str
    tokens: TokenState
    rejected: str | None
    """An access token that the server has rejected, however long it should still live."""
    lead: float
    phase: Phase = "peek"
    basis: StoredToken | None = None
    """The stored token that is being refreshed."""
    refusal: ReconnectRequiredError | None = None
    """The first refusal, until the store was read again."""
    rereads: int = 0


def next_step(state: RefreshState, event: Event, now: float) -> Action:
    """Decide what follows an event. Changes nothing but the state."""
    if isinstance(event, Loaded):
        return _follow_load(state, event.token, now)
    if isinstance(event, Saved):
        state.tokens.end_save(event.unsaved)
        token = event.unsaved.token
        return Use(token) if state.phase == "save" else _use_or_refresh(state, token, now)
    spent = state.basis.refresh_token if state.basis else None
    if isinstance(event, Refreshed):
        return _save(state, Unsaved(event.token, spent), "save")
    state.tokens.refused = spent
    return _follow_refusal(state, event.error)


def _follow_load(state: RefreshState, stored: StoredToken | None, now: float) -> Action:
    tokens = state.tokens
    if state.phase == "peek":
        usable = stored is not None and not tokens.is_late and _is_usable(state, stored, now)
        state.phase = "check"
        return Use(stored) if stored is not None and usable else Lock()
    if state.phase == "reread":
        return _follow_reread(state, stored, now)
    if tokens.unsaved is not None and tokens.unsaved.supersedes(stored):
        return _save(state, tokens.unsaved, "save_first")
    tokens.unsaved = None
    return _use_or_refresh(state, stored, now)


def _follow_reread(state: RefreshState, stored: StoredToken | None, now: float) -> Action:
    if stored is not None and state.basis is not None and stored.access_token != state.basis.access_token:
        return _use_or_refresh(state, stored, now)
    state.rereads += 1
    if state.rereads < len(_REREAD_AFTER):
        return Load(_REREAD_AFTER[state.rereads])
    return Fail(state.refusal or build_reconnect_error(state.key))


def _follow_refusal(state: RefreshState, error: ReconnectRequiredError) -> Action:
    if state.refusal is not None:
        return Fail(error)
    state.refusal, state.phase = error, "reread"
    return Load(_REREAD_AFTER[0])


def _use_or_refresh(state: RefreshState, stored: StoredToken | None, now: float) -> Action:
    if stored is None:
        return Fail(build_reconnect_error(state.key))
    if _is_usable(state, stored, now):
        return Use(stored)
    state.basis = stored
    if stored.refresh_token and stored.refresh_token == state.tokens.refused:
        return _follow_refusal(state, build_reconnect_error(state.key))
    state.phase = "refresh"
    return Refresh(stored)


def _save(state: RefreshState, unsaved: Unsaved, phase: Phase) -> Save:
    state.phase = phase
    state.tokens.begin_save(unsaved)
    return Save(unsaved)


def _is_usable(state: RefreshState, token: StoredToken, now: float) -> bool:
    return token.access_token != state.rejected and not is_due(token, now, state.lead)


def build_reconnect_error(key: str) -> ReconnectRequiredError:
    """What to raise when only a user can help."""
    return ReconnectRequiredError(
        f"No usable token is stored for {clean_line(key)}: send a user through authorize_url(…), and pass the "
        "code to exchange_code(…).",
        outcome="not_applied",
    )
