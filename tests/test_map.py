"""The map of the code, for people who change it: it names only what there is, and leaves no package out."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import leadconnector_async
from leadconnector_async import jobs, sandbox, webhooks
from leadconnector_async.jobs.states import ROW_STATES

PACKAGE = Path(leadconnector_async.__file__).parent
ROOT = PACKAGE.parent
PAGES = ROOT / "docs" / "pages"
MAP = PAGES / "explanation" / "architecture.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
QUOTED = re.compile(r"`([^`]+)`")
FILE = re.compile(r"[\w./-]+(\.py|\.md|\.toml|/|/run)")
NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
BLOCK = re.compile(r"\n(?=\||- |\d+\. |\n)")
CHANGES = {
    "a new operation": {"_client/methods.py", "sandbox/handlers.py", "sandbox/routes.py"},
    "a new field of an update": {"_api/fields.py", "models.py", "sandbox/models.py"},
    "another retryable status code": {"_api/statuses.py"},
    "a new rate-limit header": {"_limiter/headers.py", "sandbox/rate_limits.py"},
    "a new report column": {"jobs/report/html_report.py", "jobs/report/outcomes.py"},
    "how a killed job resumes": {"jobs/journal/folder.py", "jobs/prepare/prepare.py", "jobs/run/execute.py"},
    "a new webhook event type": {"webhooks.py"},
    "a new token store": {"token_stores.py"},
    "a new command-line flag": {"cli/arguments.py", "cli/connect.py"},
    "a new sandbox quirk": {"sandbox/faults.py"},
}
"""What a newcomer looks for, and files that its row must name."""


def split_blocks(page: Path) -> Iterator[tuple[list[Path], list[str]]]:
    """Of each paragraph, item and row of a table: the files and folders that it names, and the other code."""
    for block in BLOCK.split(FENCED.sub("", page.read_text())):
        quoted = QUOTED.findall(block)
        files = [one for one in quoted if FILE.fullmatch(one)]
        yield [find_file(one) for one in files], [one for one in quoted if one not in files]


def find_file(name: str) -> Path:
    """Paths are relative to the package, or else to the repository."""
    inside = PACKAGE / name
    return inside if inside.exists() else ROOT / name


@cache
def list_names(module: Path) -> frozenset[str]:
    """What a module defines, parameters and attributes included, and the words among its strings."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.arg():
                names.add(node.arg)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.Constant(value=str()):
                names.update(re.findall(r"\w+", node.value))
            case _:
                pass
    return frozenset(names)


def list_modules(path: Path) -> Iterator[Path]:
    yield from path.rglob("*.py") if path.is_dir() else [path]


@pytest.mark.parametrize("page", [MAP, CONTRIBUTING], ids=lambda page: page.name)
def test_every_file_on_the_map_exists(page: Path) -> None:
    """Whoever follows the map arrives."""
    files = [file for files, _ in split_blocks(page) for file in files]
    assert len(files) > 8
    assert [str(file) for file in files if not file.exists()] == []


def test_every_name_on_the_map_is_defined_where_it_says() -> None:
    """In a file that the same paragraph, item or row names; where it names none, anywhere in the package."""
    strays = []
    for files, quoted in split_blocks(MAP):
        modules = [one for file in files for one in list_modules(file) if one.suffix == ".py"]
        known = {name for module in modules or list_modules(PACKAGE) for name in list_names(module)}
        everywhere = {name for module in list_modules(PACKAGE) for name in list_names(module)}
        for text in quoted:
            if NAME.fullmatch(text):
                is_name = text[0].isupper() or "_" in text
                strays += [text for part in text.split(".") if part not in (known if is_name else everywhere)]
    assert strays == []


def test_every_package_and_every_module_at_the_root_is_on_the_map() -> None:
    """Nothing lives where the layout does not say."""
    on_map = {path for files, _ in split_blocks(MAP) for path in files}
    packages = {path.parent for path in PACKAGE.rglob("__init__.py")} - {PACKAGE}
    assert {str(path) for path in (packages | set(PACKAGE.glob("*.py"))) - on_map} == set()


@pytest.mark.parametrize("change", CHANGES)
def test_the_map_says_where_each_kind_of_change_goes(change: str) -> None:
    """The first column of the table is the change, the second its files."""
    (row,) = [line for line in MAP.read_text().splitlines() if line.startswith(f"| {change} |")]
    assert set(QUOTED.findall(row)) >= CHANGES[change]


def test_every_page_is_in_the_navigation_and_in_the_readme() -> None:
    """A page that nothing links to is not found."""
    pages = {str(path.relative_to(PAGES)) for path in PAGES.rglob("*.md")}
    project = tomllib.loads((ROOT / "docs" / "zensical.toml").read_text())["project"]
    assert set(re.findall(r"[\w/-]+\.md", str(project["nav"]))) == pages
    linked = re.findall(r"\(docs/pages/([\w/-]+\.md)\)", (ROOT / "README.md").read_text())
    assert sorted(linked) == sorted(pages - {"index.md"})


def test_every_link_between_pages_leads_somewhere() -> None:
    """Files, and headings inside them."""
    lost = []
    for page in [*PAGES.rglob("*.md"), ROOT / "README.md", CONTRIBUTING]:
        for target, heading in re.findall(r"\]\(([\w./-]+)(?:#([\w-]+))?\)", page.read_text()):
            file = (page.parent / target).resolve()
            if not file.exists() or (heading and heading not in list_headings(file)):
                lost.append(f"{page.name}: {target}#{heading}")
    assert lost == []


def list_headings(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "module", [leadconnector_async, jobs, sandbox, webhooks], ids=lambda module: module.__name__.split(".")[-1]
)
def test_every_public_name_is_in_the_reference_by_its_import_path(module: ModuleType) -> None:
    """Users see what they import, not where it is defined."""
    pages = "\n".join(path.read_text() for path in (PAGES / "reference").glob("*.md"))
    shown = set(re.findall(r"^::: (\S+)$", pages, re.MULTILINE))
    whole = [sys.modules[name] for name in shown if name in sys.modules]
    covered = {name for one in whole for name in vars(one)} | {"UNSET", "__version__"}
    assert {name for name in module.__all__ if f"{module.__name__}.{name}" not in shown} - covered == set()
    assert [name for name in shown if not is_importable(name)] == []


def is_importable(name: str) -> bool:
    module, _, last = name.rpartition(".")
    try:
        return hasattr(import_module(module), last) or bool(import_module(name))
    except ImportError:
        return False


def test_the_page_of_bulk_jobs_describes_every_row_state() -> None:
    """In the words of the table in the code."""
    table = {f"| `{state}` | {kind.meaning} |" for state, kind in ROW_STATES.items()}
    assert table <= set((PAGES / "explanation" / "bulk-jobs.md").read_text().splitlines())


@pytest.mark.parametrize("script", sorted([*ROOT.glob("docs/*.py"), *ROOT.glob("tests/benchmarks/*.py")]), ids=str)
def test_what_scripts_import_exists(script: Path) -> None:
    """Also of those that no test runs, because they need the extra `bench`."""
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith(PACKAGE.name):
            home = import_module(node.module or "")
            lost = [one.name for one in node.names if not hasattr(home, one.name)]
            assert [name for name in lost if not is_importable(f"{node.module}.{name}")] == []
