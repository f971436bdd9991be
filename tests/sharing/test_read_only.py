"""Stores that can be read and not written: a check says so, and calls go on as if the store were away."""

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from leadconnector_async import LeadConnector, RateLimit, Shared, StoreUnavailableError, TokenStoreError
from leadconnector_async._sharing.crypto import make_key
from leadconnector_async.sandbox import Sandbox

from ..servers import ValkeyServer
from .conftest import migrate


@pytest.fixture(params=["standby", "replica", "full"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    if request.param == "standby":
        url = str(request.getfixturevalue("postgres_url"))
        await migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            name = url.rpartition("/")[2]
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        yield url
        return
    with ValkeyServer() as primary:
        options = {"replica": ("--replicaof", "127.0.0.1", str(primary.port)), "full": ("--maxmemory", "1")}
        with ValkeyServer(*options[request.param]) as server:
            yield server.url


async def test_a_check_says_that_a_store_cannot_be_written(url: str) -> None:
    shared = Shared(url)
    with pytest.raises(StoreUnavailableError, match=r"could not be used: .*(read.only|maxmemory)"):
        await shared.check()
    await shared.aclose()


async def test_calls_go_on_and_tokens_do_not(url: str, sandbox: Sandbox) -> None:
    async with (
        Shared(url, key=make_key()) as shared,
        LeadConnector(
            sandbox.token,
            base_url=sandbox.url,
            location_id=sandbox.location_id,
            shared=shared,
            rate_limit=RateLimit(interval=0.5),
        ) as client,
    ):
        await client.get_appointment(sandbox.appointment_ids[0])
        assert client.quota.source == "shared, unreachable"
        with pytest.raises(TokenStoreError, match="the token of it could not be locked"):
            async with shared.token_store().lock("it"):
                pass


async def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    async with Shared(f"sqlite:///{tmp_path}/shared.db") as shared:
        await shared.store._file.run(lambda connection: connection.execute("PRAGMA query_only=1"))  # type: ignore[attr-defined]
        with pytest.raises(StoreUnavailableError, match="readonly"):
            await shared.check()
        await shared.check()
