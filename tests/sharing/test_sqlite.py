"""The store in a file: who may use it, where it may be, and which time it has."""

import asyncio
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, Shared, StoreUnavailableError
from leadconnector_async._sharing import sqlite as module
from leadconnector_async._sharing.mounts import choose_network, find_network, parse_mount_command, parse_mountinfo
from leadconnector_async._sharing.sqlite import SQLiteFile, estimate_boot

from ..shortage import no_descriptors
from .counting import add, get


async def test_the_file_is_created_for_its_owner_only(tmp_path: Path) -> None:
    """With what SQLite writes beside it, whatever the umask."""
    before = os.umask(0)
    try:
        async with Shared(f"sqlite:///{tmp_path}/shared.db") as shared:
            await add(shared.store, 1)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"shared.db": 0o600, "shared.db-shm": 0o600, "shared.db-wal": 0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
async def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    """With the command that corrects it."""
    path = tmp_path / "shared.db"
    path.touch()
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"run: chmod 600 {path}"):
        async with Shared(f"sqlite:///{path}"):
            pass
    assert path.read_bytes() == b""


async def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that others can write to, anybody could have planted it."""
    path = tmp_path / "shared.db"
    path.touch(mode=0o600)
    os.chown(path, 12345, -1) if os.geteuid() == 0 else monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        async with Shared(f"sqlite:///{path}"):
            pass


async def test_a_folder_is_not_created(tmp_path: Path) -> None:
    """A typing error in a path does not begin a store of its own."""
    with pytest.raises(ConfigurationError, match=r"the folder .*/missing does not exist"):
        async with Shared(f"sqlite:///{tmp_path}/missing/shared.db"):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_what_is_not_a_store_is_refused(tmp_path: Path) -> None:
    """A folder, any text, and the database of another program, which is left as it is."""
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "text.db").write_text("no database at all, and long enough to be seen as such" * 20)
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    expected = {"folder": "is not a file", "text": "is not an SQLite database", "other": "of another program"}
    for name, message in expected.items():
        with pytest.raises(ConfigurationError, match=message):
            async with Shared(f"sqlite:///{tmp_path}/{name}.db"):
                pass
    with sqlite3.connect(tmp_path / "other.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("customers",)]
    connection.close()


async def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a file is created there; the error names what to use instead."""
    monkeypatch.setattr(module, "find_network", lambda folder: "nfs4" if folder == str(tmp_path) else None)
    with pytest.raises(ConfigurationError, match=r"network file system \(nfs4\).*postgresql:// or rediss://"):
        async with Shared(f"sqlite:///{tmp_path}/shared.db"):
            pass
    assert list(tmp_path.iterdir()) == []


MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /mnt/share rw,relatime shared:9 - nfs4 server:/share rw,vers=4.2
31 30 8:2 / /mnt/share/local rw - xfs /dev/sdb1 rw
32 22 0:26 / /mnt/my\040share rw - cifs //server/x rw
33 22 0:27 / /home/me/remote rw - fuse.sshfs me@server:/ rw
34 22 0:28 / /mnt/c rw - 9p drvfs rw
35 22 0:29 / /mnt/disk rw - fuseblk /dev/sdc1 rw
36 22 0:30 / /layers rw - fuse.fuse-overlayfs overlay rw
37 22 0:31 / /hidden rw - nfs server:/x rw
38 37 0:32 / /hidden rw - tmpfs tmpfs rw
"""
WHERE = {
    "/": None,
    "/mnt": None,
    "/mnt/share": "nfs4",
    "/mnt/share/deep/folder": "nfs4",
    "/mnt/shared": None,
    "/mnt/share/local": None,
    "/mnt/my share/x": "cifs",
    "/home/me/remote/x": "fuse.sshfs",
    "/home/me": None,
    "/mnt/c/Users": "9p",
    "/mnt/disk/x": None,
    "/layers": None,
    "/hidden/x": None,
}


@pytest.mark.parametrize("folder", WHERE)
def test_which_folders_are_on_a_network_on_linux(folder: str) -> None:
    """The innermost mount counts, and the newest of two at the same point."""
    assert choose_network(folder, parse_mountinfo(MOUNTS)) == WHERE[folder]


def test_which_folders_are_on_a_network_on_macos() -> None:
    """As `mount` prints them."""
    text = "/dev/disk3s1 on / (apfs, sealed, local)\n//me@nas/my files on /Volumes/my files (smbfs, nodev, by me)\n"
    assert choose_network("/Users/me", parse_mount_command(text)) is None
    assert choose_network("/Volumes/my files/x", parse_mount_command(text)) == "smbfs"


def test_this_machines_own_mounts_can_be_read(tmp_path: Path) -> None:
    """Whatever they are; a temporary folder is local."""
    assert find_network(str(tmp_path)) is None


async def test_its_time_does_not_follow_the_wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts from the start of the machine, and each start has its own name."""
    async with Shared(f"sqlite:///{tmp_path}/shared.db") as shared:
        first = await shared.store.read("key")
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 86_400)
        second = await shared.store.read("key")
        assert 0 <= second.now - first.now < 3600
        assert first.server == second.server
        assert second.uptime == second.now


def test_processes_agree_on_an_estimated_start(tmp_path: Path) -> None:
    """Where the system has no name for it: estimates differ a little, and no machine starts twice in 5 seconds."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE leadconnector_boots (name TEXT PRIMARY KEY, began REAL NOT NULL)")
    first = estimate_boot(connection, 1000.0)
    assert estimate_boot(connection, 1000.4) == first == estimate_boot(connection, 998.0)
    second = estimate_boot(connection, 1060.0)
    assert second != first
    assert (estimate_boot(connection, 1061.0), estimate_boot(connection, 999.0)) == (second, first)
    connection.close()


def test_processes_that_estimate_a_start_at_the_same_moment(tmp_path: Path) -> None:
    """One of them names it, and the other one takes that name."""
    path = tmp_path / "boots.db"
    one, other = (sqlite3.connect(path, isolation_level=None) for _ in range(2))
    one.execute("CREATE TABLE leadconnector_boots (name TEXT PRIMARY KEY, began REAL NOT NULL)")
    names: list[str] = []

    def overtake(statement: str) -> None:
        if statement.startswith("INSERT") and not names:
            names.append(estimate_boot(other, 1000.7))

    one.set_trace_callback(overtake)
    assert estimate_boot(one, 1000.4) == estimate_boot(other, 1000.7) == names[0]
    one.close()
    other.close()


async def test_a_file_that_is_replaced_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next use opens the file that the other processes use."""
    path, connect = tmp_path / "shared.db", module._connect

    def open_and_lose(*given: object) -> sqlite3.Connection:
        monkeypatch.setattr(module, "_connect", connect)
        connection = connect(*given)  # type: ignore[arg-type]
        for each in tmp_path.iterdir():
            each.unlink()
        path.touch(mode=0o600)
        return connection

    monkeypatch.setattr(module, "_connect", open_and_lose)
    async with Shared(f"sqlite:///{path}") as shared, Shared(f"sqlite:///{path}") as other:
        await add(shared.store, 1)
        assert await get(other.store) == 1


async def test_a_file_that_is_locked_by_another_program(tmp_path: Path) -> None:
    """It ends as an outage within the second, and is over as soon as the other one is done."""
    async with Shared(f"sqlite:///{tmp_path}/shared.db") as shared:
        await add(shared.store, 1)
        reading = await shared.store.read("the number")
        other = sqlite3.connect(tmp_path / "shared.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailableError, match=r"locked|could not be used within 1 s"):
            await asyncio.wait_for(shared.store.swap("the number", reading.version, b"9", 60), 20)
        other.execute("ROLLBACK")
        other.close()
        assert await get(shared.store) == 1
        await add(shared.store, 1)


async def test_a_new_file_that_another_process_is_setting_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes second waits, as it does in a file that is set up already."""
    path, waits = tmp_path / "shared.db", threading.Event()

    def wait(seconds: float) -> None:
        waits.set()
        sleep(seconds)

    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", wait)
    path.touch(mode=0o600)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with Shared(f"sqlite:///{path}") as shared:
        reading = asyncio.create_task(get(shared.store))
        await asyncio.to_thread(waits.wait)
        other.execute("COMMIT")
        other.close()
        assert await reading == 0


async def test_a_disk_that_is_full_is_an_outage(tmp_path: Path) -> None:
    """Nothing of sqlite3 reaches the caller; afterwards it works again."""
    async with Shared(f"sqlite:///{tmp_path}/shared.db") as shared:
        await add(shared.store, 1)
        reading = await shared.store.read("the number")
        await shared.store._file.run(lambda connection: connection.execute("PRAGMA max_page_count=1"))  # type: ignore[attr-defined]
        with pytest.raises(StoreUnavailableError, match="full") as caught:
            await shared.store.swap("the number", reading.version, b"9" * 1_000_000, 60)
        assert caught.value.__cause__ is None
        await add(shared.store, 1)
        assert await get(shared.store) == 2


async def test_a_link_is_the_file_that_it_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file, and one lock for each token; the link may be there first, and the file on a network."""
    folders = [tmp_path / name for name in ("here", "there")]
    for folder in folders:
        folder.mkdir()
    link, file = (folder / "shared.db" for folder in folders)
    link.symlink_to(file)
    async with Shared(f"sqlite:///{link}") as first, Shared(f"sqlite:///{file}") as second:
        await add(first.store, 1)
        await add(second.store, 1)
        assert await get(first.store) == 2
        async with first.token_store().lock("a"):
            assert not await second.token_store()._rows.take("/a", "another")
    monkeypatch.setattr(module, "find_network", lambda folder: "nfs4" if folder == str(folders[1]) else None)
    with pytest.raises(ConfigurationError, match="network file system"):
        async with Shared(f"sqlite:///{link}"):
            pass


async def test_a_damaged_index_is_said_as_any_other_damage(tmp_path: Path) -> None:
    """SQLite has a code of its own for it."""

    def fail(connection: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT_INDEX
        raise error

    async with Shared(f"sqlite:///{tmp_path}/shared.db") as shared:
        with pytest.raises(ConfigurationError, match="is damaged: move it away"):
            await shared.store._file.run(fail)  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:.*multi-threaded")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_does_not_wait_for_a_file_that_its_parent_is_creating() -> None:
    """It has no thread that would ever release the lock."""
    begun, ended = threading.Event(), threading.Event()

    def create() -> None:
        with module._CREATING:
            begun.set()
            ended.wait(0.2)

    thread = threading.Thread(target=create)
    thread.start()
    begun.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if module._CREATING.acquire(timeout=5) else 1)
    ended.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_is_forked_while_its_parent_writes(tmp_path: Path) -> None:
    """It can write, too: no lock of SQLite stays with it that only a thread of its parent would release."""
    begun = threading.Event()

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        begun.set()
        time.sleep(0.2)
        connection.execute("COMMIT")

    shared = Shared(f"sqlite:///{tmp_path}/shared.db")
    file: SQLiteFile = shared.store._file  # type: ignore[attr-defined]
    asyncio.run(add(shared.store, 1))
    thread = threading.Thread(target=lambda: asyncio.run(file.run(write)))
    thread.start()
    begun.wait()
    child, code = os.fork(), 1
    if child == 0:
        try:
            asyncio.run(add(shared.store, 1))
            code = 0
        finally:
            os._exit(code)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(get(shared.store)) == 2
    asyncio.run(shared.aclose())


@pytest.mark.skipif(not Path("/proc/sys/kernel/random/boot_id").exists(), reason="only Linux names its starts")
async def test_a_machine_keeps_its_name_without_a_file_descriptor(tmp_path: Path) -> None:
    """Under another name, what the other processes have written would pass for that of an earlier start."""
    async with Shared(f"sqlite:///{tmp_path}/shared.db") as shared:
        name = (await shared.store.read("key")).server
        module._read_boot_id.cache_clear()  # the first reading of a process
        with no_descriptors(), pytest.raises(StoreUnavailableError, match="Too many open files"):
            await shared.store.read("key")
        assert (await shared.store.read("key")).server == name
