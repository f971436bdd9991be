"""`StoredToken`: the tokens of a location or an agency, as they are stored. Its repr shows no secret."""

from __future__ import annotations

from msgspec import Struct


class StoredToken(Struct, frozen=True, kw_only=True):
    """An access token and what is needed to refresh it. Contains secrets: store it as you store passwords.

    A msgspec Struct: `msgspec.json.encode(token)` and `msgspec.json.decode(text, type=StoredToken)` are enough
    to store it anywhere.
    """

    access_token: str
    """Sent with every request."""
    expires_at: float
    """When the access token expires, in seconds since the epoch."""
    issued_at: float = 0.0
    """When it was requested, in seconds since the epoch."""
    refresh_token: str | None = None
    """Works once and is replaced by the next one [doc]. `None` for some tokens obtained from an agency's."""
    user_type: str = "Location"
    """`Location`, or `Company` for an agency."""
    location_id: str | None = None
    """The location, of its token."""
    company_id: str | None = None
    """The agency."""
    user_id: str | None = None
    """The user who connected the app."""
    scope: str = ""
    """The scopes it was granted, separated by spaces."""
    client_id: str = ""
    """The app that it was granted to; empty if that was not recorded."""

    def __repr__(self) -> str:
        facts = "".join(f" {name}={value!r}" for name, value in self.__rich_repr__())
        return f"<{type(self).__name__}{facts}>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [(name, getattr(self, name)) for name in ("user_type", "location_id", "company_id", "expires_at")]
