"""Locks that are files, beside a file that an earlier holder has left."""

import os
import threading
from pathlib import Path

import pytest

from leadconnector_async._sharing import lock_files
from leadconnector_async._sharing.lock_files import LockFiles
from leadconnector_async._system.files import try_lock


def leave_old_lock(tmp_path: Path) -> tuple[LockFiles, LockFiles]:
    """For two processes: the file of a lock that was released long ago."""
    folder = str(tmp_path / "locks")
    one, other = LockFiles(folder, 5.0), LockFiles(folder, 5.0)
    assert one.take("token", "first")
    one.release("first")
    [path] = [entry.path for entry in os.scandir(folder) if entry.name != "guard"]
    os.utime(path, (1.0, 1.0))
    return one, other


def test_an_old_file_that_is_removed_while_it_is_locked_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may take it for that of a frozen holder, until the new holder has touched it."""
    one, other = leave_old_lock(tmp_path)

    def try_and_be_overtaken(descriptor: int) -> bool:
        taken = try_lock(descriptor)
        monkeypatch.setattr(lock_files, "try_lock", try_lock)
        assert taken
        assert not other.take("token", "second")
        return taken

    monkeypatch.setattr(lock_files, "try_lock", try_and_be_overtaken)
    has_one = one.take("token", "first")
    has_other = other.take("token", "second")
    assert (has_one, has_other) == (False, True)


def test_an_old_file_that_is_locked_while_another_process_removes_it_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the tokens that were refreshed yesterday are used by two processes at the same moment."""
    one, other = leave_old_lock(tmp_path)
    found, taken = threading.Event(), threading.Event()
    touch, unlink = os.utime, os.unlink

    def try_other() -> None:
        assert not other.take("token", "second")
        found.set()

    def touch_when_it_was_found(descriptor: int) -> None:
        monkeypatch.setattr(os, "utime", touch)
        thread.start()
        found.wait()
        touch(descriptor)

    def remove_when_it_was_taken(path: str) -> None:
        found.set()
        taken.wait()
        unlink(path)

    thread = threading.Thread(target=try_other)
    monkeypatch.setattr(os, "utime", touch_when_it_was_found)
    monkeypatch.setattr(os, "unlink", remove_when_it_was_taken)
    has_one = one.take("token", "first")
    taken.set()
    thread.join()
    assert (has_one, other.take("token", "second")) == (True, False)
