"""What an installation brings along."""

import os
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import leadconnector_async

from .extras import MODULES, check_bare_import, list_extras

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]


def closure(requirements: Iterable[str]) -> set[str]:
    """The distributions that these need."""
    found, todo = set[str](), [(text, "") for text in requirements]
    while todo:
        text, extra = todo.pop()
        needed = Requirement(text)
        name = canonicalize_name(needed.name)
        if name not in found and (not needed.marker or needed.marker.evaluate({"extra": extra})):
            found.add(name)
            todo += [(one, extra) for one in distribution(name).requires or () for extra in needed.extras or ("",)]
    return found


def test_every_extra_is_tried_in_an_environment_of_its_own() -> None:
    """By CI, with `tests/extras.py`, which knows what each is for."""
    assert set(list_extras()) <= set(MODULES)


def test_a_bare_import_loads_nothing_of_an_extra() -> None:
    """Though all of them are installed here."""
    check_bare_import()


def measure(paths: Iterable[str | os.PathLike[str]]) -> int:
    """Bytes on the disk."""
    return sum(os.stat(path).st_blocks * 512 for path in paths if os.path.isfile(path))


def test_the_command_line_is_small() -> None:
    """With all that it needs it takes less than 80 MB: a report's charts are drawn without a library."""
    names = closure([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["cli"]])
    assert {"aiohttp", "cyclopts", "pygments"} <= names
    needed = sum(measure(file.locate() for file in distribution(name).files or ()) for name in names)
    own = measure(Path(leadconnector_async.__file__).parent.rglob("*"))
    assert needed + own < 80_000_000
