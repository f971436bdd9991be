"""Locks that are files, beside a file that an earlier holder has left."""

import os
from pathlib import Path

import pytest

from leadconnector_async._sharing import lock_files
from leadconnector_async._sharing.lock_files import LockFiles
from leadconnector_async._system.files import try_lock


def test_an_old_file_that_is_removed_while_it_is_locked_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may take it for that of a frozen holder, until the new holder has touched it."""
    folder = str(tmp_path / "locks")
    one, other = LockFiles(folder, 5.0), LockFiles(folder, 5.0)
    assert one.take("token", "first")
    one.release("first")
    [path] = [entry.path for entry in os.scandir(folder)]
    os.utime(path, (1.0, 1.0))

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
