"""What the build makes of the README: a package index shows it without the files of the repository."""

import importlib.util
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

ROOT = Path(__file__).parent.parent


def load_hook() -> tuple[Callable[[str], str], Callable[[str, dict[str, object]], object]]:
    """The function, and the class, of `.ci/hatch_build.py`."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / ".ci" / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[[str], str]", module.strip_file_links), module.ReadmeHook


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("- [Book once](docs/pages/how-to/book-once.md)", "- Book once"),
        (
            "[shared\nlimits](docs/pages/explanation/shared-limits.md), [more](CHANGELOG.md).",
            "shared\nlimits, more.",
        ),
        ("[a page](https://example.com/a) and [a part](#try-it)", None),
        ("update_many(client, rows)[0] and list[int](values)[1:]", None),
    ],
)
def test_a_link_to_a_file_becomes_its_words(given: str, shown: str | None) -> None:
    """Links to other places stay."""
    strip_file_links, _ = load_hook()
    assert strip_file_links(given) == (given if shown is None else shown)


def test_the_description_of_the_package_has_no_broken_link() -> None:
    """It is the README otherwise, code included."""
    _, hook = load_hook()
    metadata: dict[str, object] = {}
    hook(str(ROOT), {}).update(metadata)  # type: ignore[attr-defined]
    readme = cast("dict[str, str]", metadata["readme"])
    links = re.findall(r"\]\(([^)]*)\)", readme["text"])
    assert readme["content-type"] == "text/markdown"
    assert [one for one in links if not one.startswith(("https://", "#"))] == []
    original = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```.*?```", original, re.DOTALL)
    assert re.findall(r"```.*?```", readme["text"], re.DOTALL) == blocks
    assert readme["text"].count("\n") == original.count("\n")


def test_the_build_uses_it() -> None:
    """A README named in the project's table would be taken as it is."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "readme" in settings["project"]["dynamic"]
    hook = settings["tool"]["hatch"]["metadata"]["hooks"]["custom"]["path"]
    assert hook == ".ci/hatch_build.py"
    assert hook in settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
