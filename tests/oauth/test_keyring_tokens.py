"""Tokens in a keyring: whole or not at all, in entries short enough for every system, one renewal at a time."""

import asyncio
import builtins
import contextlib
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import keyring
import msgspec
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import InitError, KeyringLocked, PasswordSetError

from leadconnector_async import ConfigurationError, KeyringTokenStore, OAuthApp, StoredToken, TokenStoreError
from leadconnector_async.sandbox import Sandbox

from ..leaks import show_all
from ..test_captured_locals import check_nothing_leaks
from ..test_secrets import GRANT
from ..test_secrets import TOKEN as SECRET
from .keyrings import LIMIT, MemoryKeyring, use_keyring

LONG = StoredToken(access_token=SECRET * 60, refresh_token=GRANT * 60, expires_at=5.0, scope="calendars/ø☃😀 " * 40)
OTHER = msgspec.structs.replace(LONG, access_token=f"other-{LONG.access_token}")


@pytest.fixture(autouse=True)
def ring() -> Iterator[MemoryKeyring]:
    with use_keyring() as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> KeyringTokenStore:
    return KeyringTokenStore("app", lock_folder=tmp_path / "locks")


async def test_a_long_token_is_in_entries_that_every_system_takes(
    store: KeyringTokenStore, ring: MemoryKeyring
) -> None:
    """Several parts, all short and ASCII, and nothing of the token before it."""
    await store.save("Loc 1/x", LONG)
    first = ring.names()
    assert len(first) > 4
    assert all(name.startswith("app/Loc%201%2Fx/") for name in first)
    assert all(len(value) <= LIMIT and value.isascii() for value in ring.entries.values())
    assert await store.load("Loc 1/x") == LONG
    await store.save("Loc 1/x", OTHER)
    assert await store.load("Loc 1/x") == OTHER
    assert len(ring.names()) == len(first)
    assert not set(first) & set(ring.names())


class Killed(BaseException):
    """The process ends here."""


async def test_a_save_that_is_killed_at_any_step_loses_no_token(
    store: KeyringTokenStore, ring: MemoryKeyring
) -> None:
    """The old token can be read until the new one is whole; the next save removes whatever was left behind."""
    done: list[str] = []

    def end_after(last: int) -> Callable[[str, str], None]:
        def end(step: str, name: str) -> None:
            if step != "read":
                if len(done) == last:
                    raise Killed
                done.append(step)

        return end

    for last in range(100):
        await store.save("a", LONG)
        done.clear()
        ring.before = end_after(last)
        with contextlib.suppress(Killed):
            await store.save("a", OTHER)
        ring.before = lambda step, name: None
        assert await store.load("a") == (LONG if done.count("write") < 6 else OTHER), done
        await store.save("a", LONG)
        assert await store.load("a") == LONG
        assert is_clean(ring, "a")
        if len(done) < last:
            break
    assert done == ["write"] * 6 + ["delete"] * 6


def find_header(ring: MemoryKeyring, key: str) -> tuple[str, str]:
    (found,) = [name for name in ring.entries if name[0] in (f"app/{key}/0", f"app/{key}/1")]
    return found


def find_part(ring: MemoryKeyring, key: str) -> tuple[str, str]:
    """The second of several."""
    (found,) = [(name, user) for name, user in ring.entries if re.fullmatch(rf"app/{key}/\w+/1", name)]
    return found


def is_clean(ring: MemoryKeyring, key: str) -> bool:
    """Whether there is one token and nothing else."""
    return len(ring.names()) == 1 + msgspec.json.decode(ring.entries[find_header(ring, key)])["parts"]


async def test_a_reader_never_mixes_two_saves(
    store: KeyringTokenStore, ring: MemoryKeyring, tmp_path: Path
) -> None:
    """Another process saves between any two steps of a reader, which gets one of both tokens, and always one."""
    reads = 0

    def count(step: str, name: str) -> None:
        nonlocal reads
        reads += 1

    def save_at(place: int) -> Callable[[str, str], None]:
        def save(step: str, name: str) -> None:
            nonlocal place
            place -= 1
            if place < 0:
                ring.before = lambda step, name: None
                other = KeyringTokenStore("app", lock_folder=tmp_path / "locks")
                asyncio.run(other.save("a", OTHER))

        return save

    for saves in (1, 2):  # whichever of the two headers is in use
        for _ in range(saves):
            await store.save("a", LONG)
        ring.before, reads = count, 0
        await store.load("a")
        assert reads > 5
        for place in range(reads):
            ring.before = save_at(place)
            assert await store.load("a") in (LONG, OTHER)
            assert await store.load("a") == OTHER
            await store.save("a", LONG)


@pytest.mark.parametrize("damage", ["lost", "cut", "altered", "copied", "header", "no json", "not ascii"])
async def test_a_damaged_token_is_said_and_what_to_do(
    store: KeyringTokenStore, ring: MemoryKeyring, damage: str
) -> None:
    """Without showing any of it. Connecting again works once the entries that are named are deleted."""
    await store.save("Loc1", LONG)
    await store.save("Loc2", OTHER)
    part = find_header(ring, "Loc1") if damage in ("header", "no json") else find_part(ring, "Loc1")
    value = ring.entries[part]
    match damage:
        case "lost":
            del ring.entries[part]
        case "cut":
            ring.entries[part] = value[:-4]
        case "altered":
            ring.entries[part] = value[:-1] + ("A" if value[-1] != "A" else "B")
        case "copied":
            ring.entries[part] = ring.entries[find_part(ring, "Loc2")]
        case "header":
            ring.entries[part] = value.replace('"parts":', '"parts":1')
        case "no json":
            ring.entries[part] = f"{value}}}"
        case "not ascii":
            ring.entries[part] = "☃" + value[1:]
    with pytest.raises(
        TokenStoreError,
        match=r"Loc1 in the keyring is damaged; delete the entries whose names begin with app/Loc1/",
    ) as caught:
        await store.load("Loc1")
    check_nothing_leaks(caught.value)
    assert await store.load("Loc2") == OTHER
    for name in [name for name in ring.entries if name[0].startswith("app/Loc1/")]:
        del ring.entries[name]
    assert await store.load("Loc1") is None
    await store.save("Loc1", LONG)
    assert await store.load("Loc1") == LONG


def raise_it(error: Exception) -> Callable[[str, str], None]:
    def act(step: str, name: str) -> None:
        raise error

    return act


class TellingKeyring(MemoryKeyring):
    """Its errors tell what it was given."""

    def set_password(self, service: str, username: str, password: str) -> None:
        copied = bytes(password, "ascii").decode()
        if service.count("/") == 3:
            raise PasswordSetError(f"cannot store {copied!r}")
        super().set_password(service, username, password)


class HostileKeyring(MemoryKeyring):
    """It fails as the system's own errors do, which are not the library's."""

    def get_password(self, service: str, username: str) -> str | None:
        raise OSError(1312, "A specified logon session does not exist")


def make_locked() -> KeyringBackend:
    ring = MemoryKeyring()
    ring.before = raise_it(KeyringLocked("Failed to unlock the collection!"))
    return ring


def make_broken() -> KeyringBackend:
    ring = MemoryKeyring()
    ring.before = raise_it(InitError("Failed to create the collection: Prompt dismissed.."))
    return ring


FAILURES: dict[str, tuple[Callable[[], KeyringBackend], str]] = {
    "none": (fail.Keyring, "there is no keyring that can be used; set one up .* or use another store"),
    "locked": (make_locked, "read: the keyring is locked; unlock it and try again"),
    "dismissed": (make_broken, "InitError: Failed to create .* dismissed.*; `python -m keyring diagnose` shows"),
    "of the system": (HostileKeyring, "OSError: .*logon session does not exist; `python -m keyring diagnose`"),
    "telling": (TellingKeyring, r"written: PasswordSetError: cannot store '\[redacted\]'; `python -m keyring"),
    "null": (null.Keyring, "the keyring does not return what was stored in it; choose another one"),
}


def check_no_part_leaks(error: BaseException) -> None:
    """Neither as it is nor as it is stored, in texts, frames and errors behind this one."""
    check_nothing_leaks(error)
    stored, shown = b64encode(msgspec.json.encode({"a": LONG})).decode(), show_all(error)
    assert not [start for start in range(0, 600, 50) if stored[start : start + 30] in shown]
    assert error.__context__ is None


@pytest.mark.parametrize("kind", FAILURES)
async def test_a_keyring_that_fails_is_an_error_that_says_what_to_do(store: KeyringTokenStore, kind: str) -> None:
    """Nothing of the token is in its text, nor in the frames that it holds."""
    make, text = FAILURES[kind]
    with use_keyring(make()):
        with pytest.raises(TokenStoreError, match=f"^the keyring entry of app could not be .*{text}") as caught:
            await store.save("a", LONG)
    check_no_part_leaks(caught.value)


async def test_a_read_that_fails_half_way_shows_nothing_of_what_it_has_read(
    store: KeyringTokenStore, ring: MemoryKeyring
) -> None:
    """The keyring is locked between two parts."""
    await store.save("a", LONG)

    def refuse(step: str, name: str) -> None:
        if name.endswith("/2"):
            raise KeyringLocked("locked meanwhile")

    ring.before = refuse
    with pytest.raises(TokenStoreError, match="is locked; unlock it") as caught:
        await store.load("a")
    check_no_part_leaks(caught.value)


@pytest.mark.parametrize("step", ["write", "delete"])
async def test_a_save_that_fails_can_be_repeated(store: KeyringTokenStore, ring: MemoryKeyring, step: str) -> None:
    """The old token or the new one is whole in between."""
    await store.save("a", LONG)

    def refuse(what: str, name: str) -> None:
        if what == step and name.endswith("/1"):
            raise KeyringLocked("locked meanwhile")

    ring.before = refuse
    with pytest.raises(TokenStoreError, match="is locked; unlock it"):
        await store.save("a", OTHER)
    ring.before = lambda what, name: None
    assert await store.load("a") == (LONG if step == "write" else OTHER)
    await store.save("a", OTHER)
    assert await store.load("a") == OTHER
    assert is_clean(ring, "a")


async def test_a_keyring_that_asks_does_not_block_the_loop(store: KeyringTokenStore, ring: MemoryKeyring) -> None:
    """It runs in a thread: the loop ends what the keyring waits for."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    async def unlock() -> None:
        await asked.wait()

    def ask(step: str, name: str) -> None:
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(unlock(), loop).result(30)

    ring.before = ask
    assert await store.load("a") is None
    assert asked.is_set()


async def test_stores_on_one_keyring_refresh_once(sandbox: Sandbox, tmp_path: Path) -> None:
    """As two processes do: whoever has the lock refreshes, and the others load the new token."""
    apps = [
        OAuthApp(
            sandbox.client_id,
            sandbox.client_secret,
            base_url=sandbox.url,
            store=KeyringTokenStore("app", lock_folder=tmp_path / "locks"),
        )
        for _ in range(3)
    ]
    first = await apps[0].exchange_code(sandbox.issue_code())
    sandbox.expire_token(first.access_token)
    work = [app.provider(sandbox.location_id).refresh(first.access_token) for app in apps for _ in range(2)]
    assert len(set(await asyncio.gather(*work))) == 1
    assert len(sandbox.requests.of("oauth_token")) == 2


HOLD = """
import asyncio, sys
from leadconnector_async import KeyringTokenStore

async def main():
    async with KeyringTokenStore("app", lock_folder=sys.argv[1]).lock("a"):
        print("held", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_another_process_that_holds_the_lock_is_waited_for(store: KeyringTokenStore, tmp_path: Path) -> None:
    """For a bounded time; once it is killed, the lock is free. Other keys and services have locks of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(tmp_path / "locks"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"held\n"
        hasty = KeyringTokenStore("app", lock_folder=tmp_path / "locks", lock_seconds=0.02)
        with pytest.raises(TokenStoreError, match=r"app \(locks in .*locks\) is still locked by another process"):
            async with hasty.lock("a"):
                pytest.fail("it is held")
        async with hasty.lock("b"), KeyringTokenStore("b", lock_folder=tmp_path / "locks").lock("a"):
            await store.save("a", LONG)  # the holder's lock is not needed for that
    finally:
        process.kill()
        await process.wait()
    async with store.lock("a"):
        assert await store.load("a") == LONG


def test_locks_are_in_the_home_folder_if_no_other_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So all processes of a user share them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    store = KeyringTokenStore("app")
    asyncio.run(store.save("a", LONG))
    assert (tmp_path / ".leadconnector-async").is_dir()
    assert repr(store) == "<KeyringTokenStore 'app'>"


@pytest.mark.parametrize("service", ["", "a/b", " a", 5, None])
def test_a_service_that_cannot_be_one_is_refused(service: str) -> None:
    """A slash separates it from the key."""
    with pytest.raises(ConfigurationError, match=r"^service is "):
        KeyringTokenStore(service)


def test_a_missing_library_is_named_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, when the store is created."""
    load = builtins.__import__

    def find(name: str, *others: object, **more: object) -> ModuleType:
        if name.partition(".")[0] == "keyring":
            raise ModuleNotFoundError("No module named 'keyring'", name="keyring")
        return load(name, *others, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", find)
    monkeypatch.delitem(sys.modules, "leadconnector_async.integrations.keyring_entries", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        KeyringTokenStore("app")
    assert str(caught.value).endswith("needs the extra keyring: pip install 'leadconnector-async[keyring]'")


def test_importing_the_package_does_not_import_keyring() -> None:
    """Nor does asking for the class."""
    code = "import sys; from leadconnector_async import KeyringTokenStore; assert 'keyring' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)  # noqa: S603


def test_the_keyring_of_these_tests_is_never_chosen() -> None:
    """It is worse than none."""
    assert MemoryKeyring.priority < fail.Keyring.priority
    assert isinstance(keyring.get_keyring(), MemoryKeyring)
