"""Stores: whole or not at all, for their owner only, one renewal at a time."""

import asyncio
import contextlib
import hashlib
import math
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leadconnector_async import (
    FileTokenStore,
    KeyringTokenStore,
    MemoryTokenStore,
    StoredToken,
    TokenStore,
    TokenStoreError,
    token_stores,
)

from ..shortage import no_descriptors
from ..test_secrets import show
from .keyrings import use_keyring

TOKEN = StoredToken(access_token="access-0123456789", refresh_token="refresh-0123456789", expires_at=5.0)
OTHER = StoredToken(access_token="access-9876543210", expires_at=6.0, location_id="other")
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def take(path: Path) -> bytes:
    return path.read_bytes()


def read_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=["memory", "file", "keyring"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[TokenStore]:
    with use_keyring():
        match request.param:
            case "memory":
                yield MemoryTokenStore()
            case "file":
                yield FileTokenStore(path)
            case _:
                yield KeyringTokenStore("app", lock_folder=f"{path}.locks")


async def test_what_is_saved_is_loaded(store: TokenStore) -> None:
    """By its key, the newest; nothing for a key that nobody has saved."""
    assert await store.load("a") is None
    await store.save("a", OTHER)
    await store.save("a", TOKEN)
    await store.save("b", OTHER)
    assert (await store.load("a"), await store.load("b"), await store.load("c")) == (TOKEN, OTHER, None)


async def test_a_lock_excludes_the_other_tasks_of_its_key_only(store: TokenStore) -> None:
    """Two renewals of one key follow each other; another key does not wait."""
    inside: list[str] = []

    async def work(key: str) -> None:
        async with store.lock(key):
            assert key not in inside
            inside.append(key)
            await asyncio.sleep(0.01)
            inside.remove(key)

    async with store.lock("held"), asyncio.timeout(30):
        await asyncio.gather(*[work(key) for key in "aabba"])


async def test_a_waiter_that_is_cancelled_leaves_the_lock_to_others(store: TokenStore) -> None:
    """And so does a holder."""

    async def hold() -> None:
        async with store.lock("a"):
            await asyncio.sleep(60)

    holder, waiter = asyncio.create_task(hold()), asyncio.create_task(hold())
    await asyncio.sleep(0.02)
    for task in (waiter, holder):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    async with asyncio.timeout(30), store.lock("a"):
        pass


async def test_no_repr_shows_a_secret(store: TokenStore) -> None:
    """Neither the store's nor the token's."""
    await store.save("a", TOKEN)
    seen = repr(store) + repr(TOKEN) + str(TOKEN) + str(list(TOKEN.__rich_repr__())) + repr([TOKEN])
    assert "0123456789" not in seen


async def test_tokens_outlive_the_process_that_saved_them(path: Path) -> None:
    """Another store on the same file has them, saved by a process or by a task."""
    await FileTokenStore(path).save("a", TOKEN)
    code = (
        "import asyncio, sys; from leadconnector_async import FileTokenStore;"
        "token = asyncio.run(FileTokenStore(sys.argv[1]).load('a'));"
        "asyncio.run(FileTokenStore(sys.argv[1]).save('b', token))"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-W", "error", "-c", code, str(path)], check=True)
    assert await FileTokenStore(path).load("b") == TOKEN


@POSIX
async def test_the_file_is_its_owners_from_the_first_byte(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode 0600 when it is opened and when it is in place, whatever the umask and whatever was there."""
    modes: list[int] = []
    real = os.fsync

    def look(descriptor: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    before = os.umask(0)
    try:
        put(path, b"{}", mode=0o666)
        put(Path(f"{path}.new"), b"left behind", mode=0o666)
        await FileTokenStore(path).save("a", TOKEN)
    finally:
        os.umask(before)
    assert modes[0] == read_mode(path) == 0o600
    assert read_mode(Path(f"{path}.locks")) == 0o700
    assert read_mode(Path(f"{path}.locks/file")) == 0o600
    assert set(os.listdir(path.parent)) == {"tokens.json", "tokens.json.locks"}


@pytest.mark.parametrize("step", ["fsync", "replace"])
async def test_a_save_that_fails_leaves_what_was_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The file is replaced as a whole or not at all; no token is left beside it, and the error names no secret."""
    store = FileTokenStore(path)
    await store.save("a", OTHER)
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, step, fail)
        with pytest.raises(TokenStoreError, match=r"could not be written: OSError: No space left"):
            await store.save("a", TOKEN)
    assert set(os.listdir(path.parent)) == {"tokens.json", "tokens.json.locks"}
    assert await store.load("a") == OTHER
    await store.save("a", TOKEN)
    assert await store.load("a") == TOKEN


async def test_a_reader_never_sees_half_a_file(path: Path) -> None:
    """Many saves of many tasks, and every load in between is whole; no key is lost."""
    store = FileTokenStore(path)
    await store.save("0", TOKEN)
    saves = [FileTokenStore(path).save(str(number), TOKEN) for number in range(20)]
    loads = [store.load("0") for _ in range(50)]
    found = await asyncio.gather(*saves, *loads)
    assert found[20:] == [TOKEN] * 50
    assert set(msgspec.json.decode(take(path))) == {str(number) for number in range(20)}


HOLD = """
import asyncio, sys
from leadconnector_async import FileTokenStore

async def main():
    async with FileTokenStore(sys.argv[1]).lock("a"):
        print("held", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def take_all() -> list[int]:
    """Every file descriptor that is left."""
    taken: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.dup(0))
    return taken


@pytest.mark.parametrize("left", range(6))
async def test_what_could_be_locked_and_loaded_can_be_saved(store: TokenStore, left: int) -> None:
    """Even if others take the last file descriptors meanwhile: the old refresh token is spent by then."""
    await store.save("a", OTHER)
    taken: list[int] = []
    error: TokenStoreError | None = None
    with no_descriptors(but=left):
        try:
            async with store.lock("a"):
                assert await store.load("a") == OTHER
                taken = take_all()
                for token in (OTHER, TOKEN):
                    await store.save("a", token)
        except TokenStoreError as caught:
            error = caught
    for one in taken:
        os.close(one)
    assert not (error and taken), error
    assert await store.load("a") == (TOKEN if error is None else OTHER)
    async with store.lock("a"):
        pass


async def test_a_crashed_holder_does_not_lock_for_ever(path: Path) -> None:
    """While another process holds the lock, waiting blocks nobody and is bounded; when it is killed, we go on."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"held\n"
        ticks, store = 0, FileTokenStore(path, lock_seconds=0.2)

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        with pytest.raises(TokenStoreError, match=r"still locked by another process after 0\.2 s"):
            async with store.lock("a"):
                pytest.fail("it is held")
        ticking.cancel()
        assert ticks > 20
    finally:
        process.kill()
        await process.wait()
    began = time.monotonic()
    async with FileTokenStore(path).lock("a"):
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 5}', b"\xff", b'{"a": {"access_token": "s3cret\xff"}}'])
async def test_a_damaged_file_is_said_and_left_alone(path: Path, content: bytes) -> None:
    """Without showing what is in it."""
    put(path, content)
    store = FileTokenStore(path)
    for act in (store.load("a"), store.save("a", TOKEN)):
        with pytest.raises(TokenStoreError, match="does not contain valid tokens") as caught:
            await act
        assert caught.value.__context__ is None
    assert take(path) == content


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": math.inf},
        {"issued_at": math.nan},
        {"access_token": 5},
        {"scope": object()},
        {"access_token": "s3cret\ud800"},
    ],
)
async def test_a_token_that_could_not_be_read_again_is_not_written(path: Path, changes: dict[str, Any]) -> None:
    """It would take the tokens of all other keys along; the file stays as it was, and so does a keyring."""
    store = FileTokenStore(path)
    await store.save("a", TOKEN)
    before = take(path)
    with pytest.raises(TokenStoreError, match=r"the token cannot be stored in .*, which is unchanged") as caught:
        await store.save("b", msgspec.structs.replace(OTHER, **changes))
    assert "s3cret" not in show(caught.value)
    assert take(path) == before
    assert await store.load("a") == TOKEN
    with use_keyring() as ring:
        with pytest.raises(
            TokenStoreError, match=r"the token cannot be stored in .*, which is unchanged"
        ) as caught:
            await KeyringTokenStore("app", lock_folder=f"{path}.locks").save(
                "b", msgspec.structs.replace(OTHER, **changes)
            )
        assert not ring.names()
    assert "s3cret" not in show(caught.value)


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """For the lock as for the file."""
    store = FileTokenStore(tmp_path / "nowhere" / "tokens.json")
    assert await store.load("a") is None
    with pytest.raises(TokenStoreError, match="could not be locked: FileNotFoundError"):
        await store.save("a", TOKEN)
    with pytest.raises(TokenStoreError, match="could not be locked"):
        async with store.lock("a"):
            pytest.fail("there is nothing to lock")


async def test_a_file_system_without_locks_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an error of ours."""

    def fail(*_: object) -> bool:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(token_stores, "try_lock", fail)
    with pytest.raises(TokenStoreError, match="could not be locked: OSError: Operation not supported"):
        await FileTokenStore(path).save("a", TOKEN)
    with pytest.raises(TokenStoreError, match="could not be locked"):
        async with FileTokenStore(path).lock("a"):
            pytest.fail("it cannot be locked")


@POSIX
async def test_a_link_to_the_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    """What it points to is replaced."""
    link = tmp_path / "link.json"
    link.symlink_to(path)
    await FileTokenStore(link).save("a", TOKEN)
    assert link.is_symlink()
    assert await FileTokenStore(path).load("a") == TOKEN


def test_a_token_survives_json_and_keys_of_a_later_version() -> None:
    """So any store can keep it as text."""
    text = msgspec.json.encode(TOKEN)
    assert msgspec.json.decode(text, type=StoredToken) == TOKEN
    assert msgspec.json.decode(b'{"new": 1, ' + text[1:], type=StoredToken) == TOKEN


@pytest.mark.skipif(os.name != "posix", reason="links and owners are POSIX's")
@pytest.mark.parametrize("planted", ["lock", "file lock", "folder", "store", "hard link", "fifo"])
async def test_what_somebody_else_has_planted_is_not_followed(planted: str, tmp_path: Path) -> None:
    """Nothing is made, locked or read elsewhere, and the error says what to do."""
    victim, path = tmp_path / "victim", tmp_path / "tokens.json"
    store, locks = FileTokenStore(path), tmp_path / "tokens.json.locks"
    name = hashlib.sha256(b"loc").hexdigest()[:32]
    if planted != "folder":
        locks.mkdir(0o700)
    match planted:
        case "lock":
            (locks / name).symlink_to(victim)
        case "file lock":
            (locks / "file").symlink_to(victim)
        case "folder":
            (tmp_path / "elsewhere").mkdir()
            locks.symlink_to(tmp_path / "elsewhere")
        case "store":
            path.symlink_to(victim)
        case "hard link":
            (tmp_path / "other").write_text("x")
            os.link(tmp_path / "other", locks / name)
        case "fifo":
            os.mkfifo(locks / name)

    async def use() -> None:
        await store.load("loc")
        async with store.lock("loc"):
            await store.save("loc", StoredToken(access_token="a", expires_at=1.0))

    with pytest.raises(TokenStoreError, match=r"tokens\.json could not be (locked|read|written)"):
        await use()
    assert not victim.exists()
    assert planted != "folder" or not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("planted", ["lock", "folder", "store"])
async def test_what_belongs_to_another_user_is_not_used(planted: str, tmp_path: Path) -> None:
    """Its owner could hold the lock for ever, or put in tokens of another account."""
    path, locks = tmp_path / "tokens.json", tmp_path / "tokens.json.locks"
    store = FileTokenStore(path)
    await store.save("loc", StoredToken(access_token="a", expires_at=1.0))
    os.chown({"lock": locks / "file", "folder": locks, "store": path}[planted], 12345, 12345)
    with pytest.raises(TokenStoreError, match="belongs to another user"):
        await store.save("loc", StoredToken(access_token="b", expires_at=1.0))


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
async def test_a_folder_of_locks_that_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    """Anybody could plant something in it, or take it away."""
    path, locks = tmp_path / "tokens.json", tmp_path / "tokens.json.locks"
    locks.mkdir()
    locks.chmod(0o777)
    with pytest.raises(TokenStoreError, match="is writable by other users"):
        await FileTokenStore(path).save("loc", StoredToken(access_token="b", expires_at=1.0))
