"""Tokens that are removed, because the app was uninstalled."""

import asyncio
import os
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leadconnector_async import (
    FileTokenStore,
    KeyringTokenStore,
    MemoryTokenStore,
    OAuthApp,
    ReconnectRequiredError,
    SQLTokenStore,
    StoredToken,
    TokenStore,
    TokenStoreError,
)
from leadconnector_async.sandbox import Sandbox

from .keyrings import MemoryKeyring, use_keyring

STORES: dict[str, Callable[[Path], TokenStore]] = {
    "memory": lambda folder: MemoryTokenStore(),
    "file": lambda folder: FileTokenStore(folder / "tokens.json"),
    "keyring": lambda folder: KeyringTokenStore("app", lock_folder=folder / "locks"),
    "sqlite": lambda folder: SQLTokenStore(f"sqlite:///{folder}/tokens.db"),
}


@pytest.fixture
def ring() -> Iterator[MemoryKeyring]:
    with use_keyring() as found:
        yield found


@pytest.mark.parametrize("kind", STORES)
async def test_what_is_forgotten_is_in_no_file(
    kind: str, sandbox: Sandbox, tmp_path: Path, ring: MemoryKeyring
) -> None:
    """Neither token is left in any store; a process that knew the location needs a new one from then on."""
    store = STORES[kind](tmp_path)
    first, second = (
        OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url, store=store) for _ in range(2)
    )
    token = await first.exchange_code(sandbox.issue_code())
    other = await first.exchange_code(sandbox.issue_code(location_id="other"))
    key = sandbox.location_id
    await second.provider(key)()
    assert await second.is_connected(key)
    assert await second.forget(key)
    assert not await second.forget(key)
    assert (await first.is_connected(key), await second.is_connected(key)) == (False, False)
    with pytest.raises(ReconnectRequiredError):
        await second.provider(key)()
    with pytest.raises(ReconnectRequiredError):
        await first.provider(key).refresh(token.access_token)
    assert await first.provider("other")() == other.access_token
    stored = await store.load(key)
    assert stored is not None
    assert (stored.access_token, stored.refresh_token) == ("", None)
    if kind == "file":
        content = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert token.access_token.encode() not in content
        assert (token.refresh_token or "").encode() not in content
    if kind == "keyring":
        assert len(ring.names()) == 4  # a header and a part for each of the two locations
        parts = [b64decode(value) for value in ring.entries.values() if value[0] != "{"]
        assert [content for content in parts if other.access_token.encode() in content]
        assert not [content for content in parts if token.access_token.encode() in content]
    again = await second.exchange_code(sandbox.issue_code())
    assert await second.provider(key)() == again.access_token


async def test_a_newer_token_is_not_forgotten(sandbox: Sandbox) -> None:
    """The app was connected again after the event that asks for it."""
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url)
    token = await app.exchange_code(sandbox.issue_code())
    assert not await app.forget(sandbox.location_id, issued_before=token.issued_at - 1)
    assert await app.is_connected(sandbox.location_id)
    assert await app.forget(sandbox.location_id, issued_before=token.issued_at + 1)


class FailingStore(MemoryTokenStore):
    """It fails, and tells what it knows."""

    async def load(self, key: str) -> None:
        raise OSError(os.EIO, "pit-0123456789-very-secret")


async def test_a_store_that_fails_is_an_error_of_ours(sandbox: Sandbox) -> None:
    """Without its text."""
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url, store=FailingStore())
    for act in (app.is_connected, app.forget):
        with pytest.raises(TokenStoreError) as caught:
            await act("here")
        assert "very-secret" not in str(caught.value)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)


class SlowStore(MemoryTokenStore):
    """What it loads arrives late."""

    def __init__(self) -> None:
        super().__init__()
        self.arrives = asyncio.Event()
        self.arrives.set()

    async def load(self, key: str) -> StoredToken | None:
        """As it was when it was asked for."""
        token = await super().load(key)
        arrives = self.arrives
        await arrives.wait()
        return token


async def test_a_token_that_was_being_loaded_is_forgotten_as_well(sandbox: Sandbox) -> None:
    """The call that was waiting for it may still use it, and no later one."""
    store = SlowStore()
    app = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url, store=store)
    token = await app.exchange_code(sandbox.issue_code())
    other = OAuthApp(sandbox.client_id, sandbox.client_secret, base_url=sandbox.url, store=store)
    provide = other.provider(sandbox.location_id)
    store.arrives.clear()
    loading = asyncio.create_task(provide())
    for _ in range(5):
        await asyncio.sleep(0)
    arrives, store.arrives = store.arrives, asyncio.Event()
    store.arrives.set()
    assert await other.forget(sandbox.location_id)
    arrives.set()
    assert await loading == token.access_token
    with pytest.raises(ReconnectRequiredError):
        await provide()
