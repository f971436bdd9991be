"""What an installation brings along."""

import os
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import leadconnector_async

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
