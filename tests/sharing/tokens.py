"""Where the tests of shared tokens keep them, and what is stored there."""

import hashlib
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import redis.asyncio
from msgspec import Struct

from leadconnector_async import RedisTokenStore, SQLTokenStore, StoredToken
from leadconnector_async._sharing.crypto import make_key
from leadconnector_async._system.files import close_lock, open_lock, try_lock

TOKEN = StoredToken(access_token="access-0123456789", refresh_token="refresh-0123456789", expires_at=5.0)
OTHER = StoredToken(access_token="access-9876543210", expires_at=6.0, location_id="other")
DAY = 86_400


class Place(Struct):
    """The settings of a store, with an app that nobody else has."""

    kind: str
    url: str
    key: str
    app: str

    def open(self, **changes: object) -> SQLTokenStore | RedisTokenStore:
        kind = RedisTokenStore if self.kind == "valkey" else SQLTokenStore
        settings = {"key": self.key, "app": self.app, **changes}
        return kind(self.url, **settings)  # type: ignore[arg-type]

    def name_row(self, name: str) -> str:
        """`2/b` is row b of the app whose name ends with 2."""
        return f"{self.app}{name}" if name.startswith("2/") else f"{self.app}/{name}"


def make_place(kind: str, url: str) -> Place:
    return Place(kind, url, str(make_key()), uuid.uuid4().hex)


async def read_raw(place: Place, name: str) -> bytes:
    """The value of a row, as it is stored."""
    async with place.open() as store:
        found = await store._rows.read(place.name_row(name))
    assert found is not None
    return bytes(found)


async def write_raw(place: Place, name: str, value: bytes) -> None:
    async with place.open() as store:
        await store._rows.replace(place.name_row(name), value)


async def remove(place: Place, name: str) -> None:
    """Behind the back of the store."""
    row = place.name_row(name)
    if place.kind == "valkey":
        async with redis.asyncio.Redis.from_url(place.url) as client:
            assert await client.delete(f"leadconnector:token:{row}") == 1
    elif place.kind == "postgres":
        async with await psycopg.AsyncConnection.connect(place.url) as connection:
            await connection.execute("DELETE FROM leadconnector_tokens WHERE name = %s", (row,))
    else:
        async with place.open() as store:
            await store._rows._change("DELETE FROM leadconnector_tokens WHERE name = ?", row)  # type: ignore[union-attr]


@asynccontextmanager
async def locked_until_tomorrow(place: Place, name: str) -> AsyncIterator[None]:
    """As it is when a holder was frozen, and then the clock was set back by a day."""
    row = place.name_row(name)
    if place.kind == "valkey":
        async with redis.asyncio.Redis.from_url(place.url) as client:
            await client.set(f"leadconnector:token-lock:{row}", "somebody", ex=DAY)
        yield
    elif place.kind == "postgres":
        async with await psycopg.AsyncConnection.connect(place.url, autocommit=True) as connection:
            await connection.execute(
                "INSERT INTO leadconnector_token_locks"
                " SELECT %s, 'somebody', clock_timestamp() + interval '1 day', pid, backend_start"
                " FROM pg_stat_activity WHERE pid = pg_backend_pid()",
                (row,),
            )
            yield
    else:
        folder = f"{place.url.removeprefix('sqlite:///')}.locks"
        path = os.path.join(folder, hashlib.sha256(row.encode()).hexdigest()[:32])
        descriptor = open_lock(path)
        assert try_lock(descriptor)
        os.utime(path, (time.time() + DAY, time.time() + DAY))
        yield
        close_lock(descriptor)
