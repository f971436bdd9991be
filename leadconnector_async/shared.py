"""`Shared`: what the processes of an app share, named by one URL."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self, cast

from ._secret import Secret, conceal
from ._sharing.crypto import check_key
from ._sharing.membership import Membership
from ._sharing.sqlite import SQLiteStore
from ._sharing.store import Store
from ._sharing.url import StoreAddress, parse_address
from ._validation.settings import check_line
from .exceptions import ConfigurationError, StoreUnavailableError
from .shared_tokens import RedisTokenStore, SQLTokenStore, open_token_store

_EXTRAS: Final = {"postgresql": "cluster", "redis": "redis"}
_DRIVERS: Final = ("psycopg", "redis")


class Shared:
    """The rate limits and tokens that all processes with the same URL and app share.

    `url` is `sqlite:////FOLDER/FILE` for the processes of one machine, `postgresql://HOST/DATABASE`, or
    `rediss://HOST` (Redis or Valkey). What goes to another machine must be encrypted, unless `allow_plaintext` says
    that the network is private. `app` names the app whose limits these are: by default the OAuth client id, or
    `pit` for private tokens. `key` encrypts stored tokens: by default `LEADCONNECTOR_KEY`; several, separated by
    commas, can be rotated.

    Use it as an async context manager, or call `aclose`. Raises `ConfigurationError`.
    """

    def __init__(
        self, url: str, *, app: str | None = None, key: str | None = None, allow_plaintext: bool = False
    ) -> None:
        given = conceal(url)
        del url
        secret = None if key is None else conceal(key)
        del key
        self._key = check_key(secret)
        self._address = parse_address(given, allow_plaintext=allow_plaintext)
        self._url, self._allow_plaintext = cast("Secret", given), allow_plaintext
        self._app = None if app is None else check_line("app", app)
        self._store = _make_store(self._address)
        self._tokens: SQLTokenStore | RedisTokenStore | None = None
        self._membership = Membership(self._store, self._address.shown)

    def __repr__(self) -> str:
        address: StoreAddress | None = vars(self).get("_address")  # incomplete while a setting is refused
        return f"<{type(self).__name__} {address.shown if address else ''}>"

    def token_store(self) -> SQLTokenStore | RedisTokenStore:
        """Where an `OAuthApp` keeps its tokens: in the same store, encrypted. Closed with this object.

        Raises `ConfigurationError` if Postgres or Redis is to hold tokens and there is no key.
        """
        if self._tokens is None:
            self._tokens = open_token_store(
                self._url, key=self._key, app=self._app or "", allow_plaintext=self._allow_plaintext
            )
        return self._tokens

    @property
    def app(self) -> str | None:
        """The app that was named; `None` for that of the client."""
        return self._app

    @property
    def address(self) -> StoreAddress:
        """Where the store is: for this library, and without anything to see."""
        return self._address

    @property
    def store(self) -> Store:
        """The store of the budgets: for this library."""
        return self._store

    @property
    def membership(self) -> Membership:
        """What this process is to the others: for this library."""
        return self._membership

    async def __aenter__(self) -> Self:
        """Check the store's tables. A store that cannot be reached is not an error: it may return."""
        try:
            await self._store.check()
        except StoreUnavailableError:
            pass
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def migrate(self) -> None:
        """Create the store's tables, or bring them to this version. Only one process at a time does it.

        Needed once for Postgres, and again after an update that says so; SQLite creates its file by itself, and
        Redis needs nothing. Raises `ConfigurationError` and `StoreUnavailableError`.
        """
        await self._store.migrate()

    async def check(self) -> None:
        """Connect, and check that the store can be used.

        Raises `ConfigurationError` and `StoreUnavailableError`.
        """
        await self._store.check()

    async def aclose(self) -> None:
        """Report what was used, and close the connections of this event loop. A later use opens them again.

        Takes at most a second, also if the store does not respond.
        """
        await self._membership.close()
        await self._store.aclose()
        if self._tokens is not None:
            await self._tokens.aclose()


def _make_store(address: StoreAddress) -> Store:
    """Each driver is an extra, and imported with its first use only."""
    extra = _EXTRAS.get(address.kind, "")
    try:
        match address.kind:
            case "sqlite":
                return SQLiteStore(address)
            case "postgresql":
                from .integrations.postgres import PostgresStore  # noqa: PLC0415 - see above

                return PostgresStore(address)
            case "redis":
                from .integrations.redis import RedisStore  # noqa: PLC0415 - see above

                return RedisStore(address)
    except ModuleNotFoundError as error:
        if error.name not in _DRIVERS:
            raise
    raise ConfigurationError(f"{address.shown} needs the extra {extra}: pip install 'leadconnector-async[{extra}]'")
