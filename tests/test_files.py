"""Files that several processes write at the same moment."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadconnector_async._system import files as module
from leadconnector_async._system.files import replace_file, try_lock


def test_a_file_that_two_processes_replace_at_once_is_whole(tmp_path: Path) -> None:
    """Each puts its own in place, completely, whoever ends first."""
    path, seen = tmp_path / "report.html", list[str]()

    def write_first() -> Iterator[str]:
        yield "first "
        replace_file(str(path), write_second())
        seen.append(path.read_text())
        yield "one"

    def write_second() -> Iterator[str]:
        yield "second "
        replace_file(str(path), ["third one"])
        seen.append(path.read_text())
        yield "one"

    replace_file(str(path), write_first())
    assert [*seen, path.read_text()] == ["third one", "second one", "first one"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_that_another_process_takes_for_one_that_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not locked yet: it is written under another name."""
    path = tmp_path / "report.html"

    def be_overtaken(descriptor: int) -> bool:
        monkeypatch.setattr(module, "try_lock", try_lock)
        replace_file(str(path), ["other"])
        return try_lock(descriptor)

    monkeypatch.setattr(module, "try_lock", be_overtaken)
    replace_file(str(path), ["one"])
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["report.html"]


def test_files_with_similar_names_are_left_alone(tmp_path: Path) -> None:
    """What a crash has left is removed; what belongs to another file, or to the user, is not."""
    mine = ["report.html.0123abcd.new", "report.html.new"]
    others = ["report.html.new.0123abcd.new", "report.html.old.new", "report.html.1234.new", "my-report.html.new"]
    for name in (*mine, *others):
        (tmp_path / name).touch()
    replace_file(str(tmp_path / "report.html"), ["one"])
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "report.html"])
