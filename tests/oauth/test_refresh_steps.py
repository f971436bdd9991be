"""The steps of a refresh: every line of the tables in `_oauth/refresh_steps.py`, without an event loop."""

from typing import Literal

import pytest

from leadconnector_async import ReconnectRequiredError, StoredToken
from leadconnector_async._oauth.refresh_steps import (
    Action,
    Event,
    Fail,
    Load,
    Loaded,
    Lock,
    Phase,
    Refresh,
    Refreshed,
    RefreshState,
    Refused,
    Save,
    Saved,
    TokenState,
    Unsaved,
    Use,
    decide_use,
    is_due,
    next_step,
)

NOW, LEAD = 1000.0, 300.0


def make_token(name: str, *, expires_at: float = 10_000.0, issued_at: float = 0.0, grant: str = "") -> StoredToken:
    grant = grant or f"grant of {name}"
    return StoredToken(access_token=name, expires_at=expires_at, issued_at=issued_at, refresh_token=grant)


GOOD = make_token("good")
DUE = make_token("due", expires_at=NOW + 299)
EXPIRED = make_token("expired", expires_at=NOW)
NEXT = make_token("next", issued_at=NOW)
OTHER = make_token("other", expires_at=NOW)
FROM_DUE = Unsaved(NEXT, "grant of due")
FROM_CODE = Unsaved(NEXT)
DUE_FROM_CODE = Unsaved(make_token("due from code", expires_at=NOW + 299, issued_at=1.0))
LATE = Unsaved(NEXT, late=True)
OLD_CODE = Unsaved(make_token("old code", issued_at=-1.0))
REFUSAL, SECOND = ReconnectRequiredError("refused"), ReconnectRequiredError("refused again")


@pytest.mark.parametrize(
    ("state", "decision"),
    [
        (TokenState(), "refresh"),
        (TokenState(saved=EXPIRED), "refresh"),
        (TokenState(saved=EXPIRED, retry_at=NOW + 1), "refresh"),
        (TokenState(saved=DUE, retry_at=NOW + 1), "use"),
        (TokenState(saved=GOOD, unsaved=LATE, retry_at=NOW + 1), "use"),
        (TokenState(saved=DUE), "refresh_early"),
        (TokenState(saved=DUE, retry_at=NOW), "refresh_early"),
        (TokenState(saved=GOOD, unsaved=LATE), "refresh_early"),
        (TokenState(saved=GOOD), "use"),
        (TokenState(saved=GOOD, unsaved=FROM_CODE), "use"),
    ],
)
def test_a_saved_token_is_used_until_it_is_due(
    state: TokenState, decision: Literal["use", "refresh_early", "refresh"]
) -> None:
    """An expired token is never used; one that is due stays in use after an early refresh has failed."""
    assert decide_use(state, NOW, LEAD) == decision


@pytest.mark.parametrize(
    ("issued_at", "expires_at", "due_at"),
    [(0.0, 86_400.0, 86_100.0), (0.0, 600.0, 300.0), (0.0, 100.0, 50.0)],
)
def test_a_token_is_due_before_it_expires_and_a_short_lived_one_half_way(
    issued_at: float, expires_at: float, due_at: float
) -> None:
    """The lead is 300 s, and at most half of the token's life."""
    token = make_token("token", issued_at=issued_at, expires_at=expires_at)
    assert [is_due(token, now, LEAD) for now in (due_at - 0.001, due_at)] == [False, True]


class Case:
    """One line of the table: a state, an event, and what must follow."""

    def __init__(
        self,
        phase: Phase,
        event: Event,
        action: Action | type[Action],
        after: Phase | None = None,
        *,
        unsaved: Unsaved | None = None,
        rejected: str | None = None,
        refused: str | None = None,
        basis: StoredToken | None = DUE,
        refusal: ReconnectRequiredError | None = None,
        rereads: int = 0,
    ) -> None:
        tokens = TokenState(unsaved=unsaved, refused=refused, retry_at=NOW + 3)
        self.state = RefreshState("loc", tokens, rejected, LEAD, phase, basis, refusal, rereads)
        self.event, self.action, self.after = event, action, after


CASES = {
    "peek: usable": Case("peek", Loaded(GOOD), Use(GOOD)),
    "peek: nothing": Case("peek", Loaded(None), Lock(), "check"),
    "peek: due": Case("peek", Loaded(DUE), Lock(), "check"),
    "peek: rejected": Case("peek", Loaded(GOOD), Lock(), "check", rejected="good"),
    "peek: a newer one is late": Case("peek", Loaded(GOOD), Lock(), "check", unsaved=LATE),
    "check: nothing": Case("check", Loaded(None), Fail),
    "check: usable": Case("check", Loaded(GOOD), Use(GOOD)),
    "check: due": Case("check", Loaded(DUE), Refresh(DUE), "refresh"),
    "check: rejected": Case("check", Loaded(GOOD), Refresh(GOOD), "refresh", rejected="good"),
    "check: refused before": Case("check", Loaded(DUE), Load(0.0), "reread", refused="grant of due"),
    "check: unsaved follows": Case("check", Loaded(DUE), Save(FROM_DUE), "save_first", unsaved=FROM_DUE),
    "check: unsaved is behind": Case("check", Loaded(GOOD), Use(GOOD), unsaved=FROM_DUE),
    "check: unsaved, store emptied": Case("check", Loaded(None), Fail, unsaved=FROM_DUE),
    "check: from a code, nothing stored": Case("check", Loaded(None), Save(LATE), "save_first", unsaved=LATE),
    "check: from a code, older stored": Case("check", Loaded(GOOD), Save(LATE), "save_first", unsaved=LATE),
    "check: from an old code": Case("check", Loaded(GOOD), Use(GOOD), unsaved=OLD_CODE),
    "save_first: usable": Case("save_first", Saved(FROM_DUE), Use(NEXT), unsaved=FROM_DUE),
    "save_first: due": Case(
        "save_first", Saved(DUE_FROM_CODE), Refresh(DUE_FROM_CODE.token), "refresh", unsaved=DUE_FROM_CODE
    ),
    "save_first: rejected": Case(
        "save_first", Saved(FROM_DUE), Refresh(NEXT), "refresh", unsaved=FROM_DUE, rejected="next"
    ),
    "refresh: refused": Case("refresh", Refused(REFUSAL), Load(0.0), "reread"),
    "refresh: refused again": Case("refresh", Refused(SECOND), Fail(SECOND), refusal=REFUSAL, basis=OTHER),
    "reread: another, usable": Case("reread", Loaded(GOOD), Use(GOOD), refusal=REFUSAL),
    "reread: another, due": Case("reread", Loaded(OTHER), Refresh(OTHER), "refresh", refusal=REFUSAL),
    "reread: another, refused before": Case(
        "reread", Loaded(OTHER), Fail, refusal=REFUSAL, refused="grant of other"
    ),
    "reread: the same": Case("reread", Loaded(DUE), Load(0.25), "reread", refusal=REFUSAL),
    "reread: nothing": Case("reread", Loaded(None), Load(0.25), "reread", refusal=REFUSAL),
    "reread: the same again": Case("reread", Loaded(DUE), Fail(REFUSAL), refusal=REFUSAL, rereads=1),
    "save: saved": Case("save", Saved(FROM_DUE), Use(NEXT), unsaved=FROM_DUE),
    "save: of a token with a short life": Case("save", Saved(DUE_FROM_CODE), Use(DUE_FROM_CODE.token)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_transition_of_a_refresh(name: str) -> None:
    """The action and the next phase are those of the table."""
    case = CASES[name]
    action = next_step(case.state, case.event, NOW)
    if isinstance(case.action, type):
        assert isinstance(action, case.action)
    else:
        assert action == case.action
    assert case.after is None or case.state.phase == case.after


def test_a_refreshed_token_is_remembered_before_it_is_saved_and_used_only_after() -> None:
    """A save that fails loses nothing, and what the store has not confirmed is not in use."""
    tokens = TokenState(saved=DUE, retry_at=NOW + 3)
    state = RefreshState("loc", tokens, None, LEAD, "refresh", DUE)
    action = next_step(state, Refreshed(NEXT), NOW)
    assert isinstance(action, Save)
    assert (action.unsaved.token, action.unsaved.spent, state.phase) == (NEXT, "grant of due", "save")
    assert (tokens.unsaved, tokens.saved, tokens.retry_at) == (action.unsaved, DUE, NOW + 3)
    assert next_step(state, Saved(action.unsaved), NOW) == Use(NEXT)
    assert (tokens.unsaved, tokens.saved, tokens.retry_at) == (None, NEXT, 0.0)


def test_a_token_from_a_code_that_came_during_a_refresh_stays_remembered() -> None:
    """It is the newer one, so saving the refreshed token must not forget it."""
    tokens = TokenState(saved=DUE, unsaved=FROM_CODE)
    state = RefreshState("loc", tokens, None, LEAD, "refresh", DUE)
    action = next_step(state, Refreshed(NEXT), NOW)
    assert isinstance(action, Save)
    next_step(state, Saved(action.unsaved), NOW)
    assert tokens.unsaved is FROM_CODE


def test_a_refused_refresh_token_is_not_sent_again() -> None:
    """The refusal is remembered for the key, so the next refresh reads the store again and asks nobody."""
    tokens = TokenState(saved=EXPIRED)
    assert next_step(RefreshState("loc", tokens, None, LEAD, "check"), Loaded(EXPIRED), NOW) == Refresh(EXPIRED)
    next_step(RefreshState("loc", tokens, None, LEAD, "refresh", EXPIRED), Refused(REFUSAL), NOW)
    assert tokens.refused == "grant of expired"
    state, actions = RefreshState("loc", tokens, None, LEAD, "check"), []
    for _ in range(3):
        actions.append(next_step(state, Loaded(EXPIRED), NOW))
    assert actions[:2] == [Load(0.0), Load(0.25)]
    assert isinstance(actions[2], Fail)
    assert "send a user through authorize_url(…)" in str(actions[2].error)


def test_no_state_shows_a_token() -> None:
    """Error reporters print the repr of every local."""
    tokens = TokenState(saved=GOOD, unsaved=FROM_DUE, refused="grant of due")
    state = RefreshState("loc", tokens, "rejected", LEAD, basis=DUE)
    shown = repr([state, tokens, Save(FROM_DUE), Refreshed(NEXT), Loaded(GOOD), Refresh(DUE), Use(GOOD)])
    assert not [secret for secret in ("grant of", "'good'", "'next'", "'due'", "'rejected'") if secret in shown]
