"""`SQLTokenStore` and `RedisTokenStore`: tokens that the processes of one or several machines share, encrypted."""

from __future__ import annotations

from typing import cast

from .._secret import conceal
from .._sharing.crypto import find_cipher
from .._sharing.sqlite_tokens import SQLiteTokenRows
from .._sharing.token_store import SharedTokenStore, TokenRows
from .._sharing.url import DRIVERS, StoreAddress, explain_missing_driver, parse_address
from ..exceptions import ConfigurationError


class SQLTokenStore(SharedTokenStore):
    """Tokens in Postgres, or in an SQLite file, shared by all processes that use the same database.

        async with SQLTokenStore("postgresql://db/leads") as store:
            app = OAuthApp(client_id, client_secret, store=store)

    `url` is `postgresql://…`, which needs the extra `cluster` and the tables that `leadconnector shared migrate`
    creates, or `sqlite:///…`, which needs neither. `key` encrypts the tokens; several keys are separated by commas:
    the first encrypts, all decrypt. Without it, `LEADCONNECTOR_KEY` is used. Postgres requires a key; SQLite
    stores tokens without one in a file that only its owner can read. `app` is any name that distinguishes the
    apps that share a database. `allow_plaintext` permits connections to other machines without TLS. `lock_seconds`
    bounds the wait for a process that refreshes the same token.

    Raises `ConfigurationError` for settings that cannot work, and `TokenStoreError`.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        app: str = "",
        allow_plaintext: bool = False,
        lock_seconds: float = 60.0,
    ) -> None:
        given, secret = conceal(url), None if key is None else conceal(key)
        del url, key
        address = parse_address(given, allow_plaintext=allow_plaintext)
        if address.kind == "redis":
            raise ConfigurationError(f"{address.shown} is not an SQL database: use RedisTokenStore")
        is_sqlite = address.kind == "sqlite"
        cipher = find_cipher(secret, required=None if is_sqlite else "tokens in Postgres")
        rows = _open_rows(address)
        super().__init__(rows, address.shown, cipher, app=app, lock_seconds=lock_seconds, plain_readable=is_sqlite)


class RedisTokenStore(SharedTokenStore):
    """Tokens in Redis or Valkey, shared by all processes that use the same server. Needs the extra `redis`.

        async with RedisTokenStore("rediss://cache") as store:
            app = OAuthApp(client_id, client_secret, store=store)

    They are as durable as the server: without `appendonly yes`, a restart loses them, and users have to connect
    again. Its `maxmemory-policy` must not evict keys that have no expiry. `url` is that of the
    server; `key`, which is required, `app`, `allow_plaintext` and `lock_seconds` are those of `SQLTokenStore`.

    Raises `ConfigurationError` for settings that cannot work, and `TokenStoreError`.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        app: str = "",
        allow_plaintext: bool = False,
        lock_seconds: float = 60.0,
    ) -> None:
        given, secret = conceal(url), None if key is None else conceal(key)
        del url, key
        address = parse_address(given, allow_plaintext=allow_plaintext)
        if address.kind != "redis":
            raise ConfigurationError(f"{address.shown} is not a Redis server: use SQLTokenStore")
        cipher = find_cipher(secret, required="tokens in Redis")
        super().__init__(_open_rows(address), address.shown, cipher, app=app, lock_seconds=lock_seconds)


def open_token_store(
    url: str, *, key: str | None = None, app: str = "", allow_plaintext: bool = False
) -> SQLTokenStore | RedisTokenStore:
    """The store that a URL names. Raises `ConfigurationError`."""
    given, secret = conceal(url), None if key is None else conceal(key)
    del url, key
    is_redis = parse_address(given, allow_plaintext=allow_plaintext).kind == "redis"
    kind = RedisTokenStore if is_redis else SQLTokenStore
    return kind(cast("str", given), key=cast("str | None", secret), app=app, allow_plaintext=allow_plaintext)


def _open_rows(address: StoreAddress) -> TokenRows:
    """Connects to nothing yet. A driver is imported only when it is used."""
    try:
        match address.kind:
            case "sqlite":
                return SQLiteTokenRows(address.path)
            case "postgresql":
                from ..integrations.postgres_tokens import PostgresTokenRows  # noqa: PLC0415 - see above

                return PostgresTokenRows(address)
            case "redis":
                from ..integrations.redis_tokens import RedisTokenRows  # noqa: PLC0415 - see above

                return RedisTokenRows(address)
    except ModuleNotFoundError as error:
        if error.name not in DRIVERS:
            raise
    raise explain_missing_driver(address)
