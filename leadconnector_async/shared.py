"""`Shared`: the rate limits and tokens that processes share, in a store that one URL names."""

from __future__ import annotations

from types import TracebackType
from typing import Self, cast

from ._secret import InOneProcess, Secret, conceal
from ._sharing.crypto import check_key
from ._sharing.keys import KeyStore
from ._sharing.membership import Membership
from ._sharing.sqlite import SQLiteStore
from ._sharing.store import Store
from ._sharing.url import DRIVERS, StoreAddress, explain_missing_driver, parse_address
from ._tokens.shared import RedisTokenStore, SQLTokenStore, open_token_store
from ._validation.settings import check_line
from .exceptions import StoreUnavailableError


class Shared(InOneProcess):
    """The rate limits and tokens that all processes with the same URL and app share.

    `url` names the store: `sqlite:////FOLDER/FILE` for the processes of one machine,
    `postgresql://HOST/DATABASE`, or `rediss://HOST` (Redis or Valkey). A connection to another machine must be
    encrypted, unless `allow_plaintext` says that the network is private. `app` names the app whose limits these
    are: by default the OAuth client id, or `pit` for private tokens. `key` encrypts stored tokens; without it,
    `LEADCONNECTOR_KEY` is used. Several keys are separated by commas: the first encrypts, all decrypt.

    Use it as an async context manager, or call `aclose`. Raises `ConfigurationError` for settings that cannot
    work.
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
        self._keys: KeyStore | None = None

    def __repr__(self) -> str:
        address: StoreAddress | None = vars(self).get("_address")  # incomplete while a setting is refused
        return f"<{type(self).__name__} {address.shown if address else ''}>"

    def token_store(self) -> SQLTokenStore | RedisTokenStore:
        """Return the `TokenStore` for an `OAuthApp`, in the same store. It is closed with this object.

        Tokens are encrypted; only SQLite stores them without a key. Raises `ConfigurationError` if there is no key
        for Postgres or Redis.
        """
        if self._tokens is None:
            self._tokens = open_token_store(
                self._url, key=self._key, app=self._app or "", allow_plaintext=self._allow_plaintext
            )
        return self._tokens

    @property
    def app(self) -> str | None:
        """The name of the app, if one was given; `None` if it is that of the client."""
        return self._app

    @property
    def address(self) -> StoreAddress:
        """Where the store is. For this library; its repr shows nothing."""
        return self._address

    @property
    def store(self) -> Store:
        """The store of the budgets. For this library."""
        return self._store

    @property
    def keys(self) -> KeyStore:
        """The keys of callers, in the same store. For this library."""
        if self._keys is None:
            self._keys = _make_keys(self._address)
        return self._keys

    @property
    def membership(self) -> Membership:
        """How this process appears to the others. For this library."""
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
        """Create the store's tables, or upgrade them to this version. Only one process at a time does so.

        Needed once for Postgres, and for Postgres and SQLite after an update that says so; SQLite creates a new
        file by itself, and Redis needs nothing. Raises `ConfigurationError` and `StoreUnavailableError`.
        """
        await self._store.migrate()

    async def check(self) -> None:
        """Connect, and check that the store can be used.

        Raises `ConfigurationError` and `StoreUnavailableError`.
        """
        await self._store.check()

    async def aclose(self) -> None:
        """Report what was used, and close the connections of this event loop. A later use opens them again.

        Reporting takes a second at most, even if the store does not respond.
        """
        await self._membership.close()
        await self._store.aclose()
        if self._keys is not None:
            await self._keys.aclose()
        if self._tokens is not None:
            await self._tokens.aclose()


def _make_store(address: StoreAddress) -> Store:
    """Connects to nothing yet. A driver is imported only when it is used."""
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
        if error.name not in DRIVERS:
            raise
    raise explain_missing_driver(address)


def _make_keys(address: StoreAddress) -> KeyStore:
    """Connects to nothing yet; its driver is imported already."""
    match address.kind:
        case "sqlite":
            from ._sharing.sqlite_keys import SQLiteKeys  # noqa: PLC0415 - most programs use no keys

            return SQLiteKeys(address.path)
        case "postgresql":
            from .integrations.postgres_keys import PostgresKeys  # noqa: PLC0415 - as above

            return PostgresKeys(address)
        case "redis":
            from .integrations.redis_keys import RedisKeys  # noqa: PLC0415 - as above

            return RedisKeys(address)
