"""The tokens that the sandbox knows, and what each may do.

Rule: a token is never shown: not in a repr, a log or an answer.

Pure. Must not import anything of the package.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from .rules import Refusal

TokenKind: TypeAlias = Literal["pit", "access"]
UserType: TypeAlias = Literal["Location", "Company"]

WRITE: Final = "calendars/events.write"
READ: Final = "calendars/events.readonly"
CALENDARS: Final = "calendars.readonly"


class Grant(Struct):
    """What a token stands for."""

    location_id: str
    scopes: frozenset[str]
    user_type: UserType
    expires_at: float = math.inf
    """By the sandbox's clock."""


class TokenBook:
    """All tokens that were issued."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._grants: dict[str, Grant] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._grants)}>"

    def issue(
        self,
        kind: TokenKind,
        location_id: str,
        scopes: Iterable[str],
        user_type: UserType,
        expires_at: float = math.inf,
    ) -> str:
        """Make a token. An agency's stands for the agency's id in place of a location's."""
        text = hashlib.sha256(f"{self._seed}:token:{len(self._grants)}".encode()).hexdigest()
        token = f"pit-{text[:36]}" if kind == "pit" else f"eyJ.{text}"
        self._grants[token] = Grant(location_id, frozenset(scopes), user_type, expires_at)
        return token

    def expire(self, token: str) -> None:
        """Let a token expire. Raises `KeyError` for an unknown one."""
        self._grants[token].expires_at = -math.inf

    def check(self, authorization: str | None, scope: str, now: float) -> Grant:
        """What the token of a request for a location stands for. Raises `Refusal`."""
        grant = self._find(authorization, now)
        if grant.user_type == "Company":
            raise Refusal(401, "Token's user type mismatch!")
        if scope not in grant.scopes:
            raise Refusal(401, "The token is not authorized for this scope.")
        return grant

    def check_agency(self, authorization: str | None, now: float) -> Grant:
        """What the token of a request for an agency stands for. Raises `Refusal`."""
        grant = self._find(authorization, now)
        if grant.user_type != "Company":
            raise Refusal(401, "Token's user type mismatch!")
        return grant

    def _find(self, authorization: str | None, now: float) -> Grant:
        scheme, _, token = (authorization or "").partition(" ")
        grant = self._grants.get(token) if scheme.lower() == "bearer" else None
        if grant is None or now >= grant.expires_at:
            is_pit = token.startswith("pit-")
            raise Refusal(401, "Invalid Private Integration token" if is_pit else "Invalid JWT")
        return grant
