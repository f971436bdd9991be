"""Tokens in a shared store can be read with a key only, and only where they were put."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from leadconnector_async import ConfigurationError, RedisTokenStore, Shared, TokenStoreError
from leadconnector_async._sharing.crypto import make_key

from .tokens import OTHER, TOKEN, Place, read_raw, write_raw

KEY = "syntXNYN7U2-zx_GO-_XpbH3oGc9mZFRvwUTl7hD6Lw="
"""Always the same, so that the names of the tests are."""


async def test_what_is_stored_is_encrypted(place: Place) -> None:
    """Nobody who reads the rows learns a token; two values of one token differ."""
    async with place.open() as store:
        await store.save("a", TOKEN)
        first = await read_raw(place, "a")
        await store.save("a", TOKEN)
        second = await read_raw(place, "a")
    assert first != second
    assert not [text for text in (b"0123456789", b"refresh", b"{") if text in first + second]


async def test_keys_can_be_rotated(place: Place) -> None:
    """The first encrypts, all decrypt: the old key can go when every token was saved with the new one."""
    new = str(make_key())
    async with place.open() as store:
        await store.save("a", TOKEN)
    async with place.open(key=f" {new} , {place.key}") as store:
        assert await store.load("a") == TOKEN
        await store.save("b", OTHER)
    async with place.open(key=new) as store:
        assert await store.load("b") == OTHER
        with pytest.raises(TokenStoreError, match=r"cannot be decrypted.*Add the key .* to LEADCONNECTOR_KEY"):
            await store.load("a")
    async with place.open() as store:
        with pytest.raises(TokenStoreError, match="cannot be decrypted"):
            await store.load("b")


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (lambda value: value[:-1], "cannot be decrypted"),
        (lambda value: value[:30] + bytes([value[30] ^ 1]) + value[31:], "cannot be decrypted"),
        (lambda value: b"", "cannot be decrypted"),
        (lambda value: b"\xff\x00", "cannot be decrypted"),
        (lambda value: b"gAAAA not a token", "cannot be decrypted"),
    ],
)
async def test_an_altered_value_is_said_and_left_alone(place: Place, made: Any, match: str) -> None:
    """What to do is said; the value is neither shown nor replaced."""
    async with place.open() as store:
        await store.save("a", TOKEN)
        value = made(await read_raw(place, "a"))
        await write_raw(place, "a", value)
        with pytest.raises(TokenStoreError, match=match) as caught:
            await store.load("a")
    assert await read_raw(place, "a") == value
    assert not value or value.decode("latin-1") not in str(caught.value)


async def test_a_value_that_was_copied_from_another_row_is_not_accepted(place: Place) -> None:
    """From another location, and from another app: its own key encrypted it, but not for this row."""
    async with place.open() as store, place.open(app=f"{place.app}2") as another:
        for source, key in ((store, "b"), (another, "a")):
            await source.save(key, OTHER)
            name = key if source is store else f"2/{key}"
            await write_raw(place, "a", await read_raw(place, name))
            with pytest.raises(TokenStoreError, match="the token of a was encrypted for another row") as caught:
                await store.load("a")
            assert "9876543210" not in str(caught.value)


async def test_tokens_without_encryption_are_for_the_owner_of_a_file_only(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite stores them without a key, and reads them with one; servers refuse both the setting and the value."""
    monkeypatch.delenv("LEADCONNECTOR_KEY", raising=False)
    if place.kind != "sqlite":
        with pytest.raises(ConfigurationError, match=r"are encrypted: set LEADCONNECTOR_KEY or pass key=…"):
            place.open(key=None)
        async with place.open() as store:
            await write_raw(place, "a", msgspec.json.encode(TOKEN))
            with pytest.raises(TokenStoreError, match="the token of a is not encrypted"):
                await store.load("a")
        return
    async with place.open(key=None) as plain, place.open() as store:
        await plain.save("a", TOKEN)
        assert (tmp_path / "shared.db").stat().st_mode & 0o077 == 0
        assert await store.load("a") == TOKEN
        await store.save("a", TOKEN)
        with pytest.raises(TokenStoreError, match="the token of a is encrypted: set LEADCONNECTOR_KEY"):
            await plain.load("a")


async def test_the_key_may_come_from_the_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a store by itself, and for that of a `Shared`."""
    monkeypatch.setenv("LEADCONNECTOR_KEY", place.key)
    async with place.open(key=None) as store, Shared(place.url, app=place.app) as shared:
        await store.save("a", TOKEN)
        assert await shared.token_store().load("a") == TOKEN
        assert shared.token_store() is shared.token_store()
    assert b"0123456789" not in await read_raw(place, "a")


@pytest.mark.parametrize("key", ["x", "a" * 43, "é" * 44, f"{KEY},", f",{KEY}", "", b"k" * 44, 5])
def test_an_invalid_key_is_refused_without_being_shown(key: Any) -> None:
    """The error says which one, and how to get another."""
    with pytest.raises(ConfigurationError, match=r"key") as caught:
        RedisTokenStore("redis://127.0.0.1", key=key)
    assert not key or str(key) not in str(caught.value)
