"""The reference shows and explains every public name, its types included."""

import ast
import inspect
import re
import textwrap
import tomllib
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import griffe
import yaml

from leadconnector_async import LeadConnector

from .test_architecture import PACKAGE

DOCS = PACKAGE.parent / "docs"
REFERENCE = DOCS / "pages" / "reference"
DIRECTIVE = re.compile(r"^::: (?P<path>\S+)\n(?P<body>(?:(?: {4}.*)?\n)*)", re.MULTILINE)
FOREIGN = {"UNSET"}
"""Of msgspec, which documents it."""
BASES = {"AppointmentFields", "BlockSlotFields"}
"""Shown with the classes that inherit their fields."""
Options = dict[str, object]


@dataclass(frozen=True)
class Shown:
    """An object of the package where a page shows it: `AppointmentUpdate.title` is a field of its base class."""

    path: str
    source: griffe.Object
    options: tuple[tuple[str, str], ...] = ()

    def has_constructor(self) -> bool:
        return isinstance(self.source, griffe.Class) and ("merge_init_into_class", "False") not in self.options

    def list_signatures(self) -> Iterator[griffe.Function]:
        if isinstance(self.source, griffe.Function):
            yield from self.source.overloads or ()
            yield self.source
        elif self.has_constructor() and "__init__" in self.source.all_members:
            constructor = resolve(self.source.all_members["__init__"])
            assert isinstance(constructor, griffe.Function)
            yield constructor


@cache
def read_options() -> Options:
    """Those of all pages."""
    settings = tomllib.loads((DOCS / "zensical.toml").read_text())
    return settings["project"]["plugins"]["mkdocstrings"]["handlers"]["python"]["options"]


@cache
def load_package(root: Path = PACKAGE.parent) -> griffe.Module:
    """As mkdocstrings does it: without running it."""
    extensions = griffe.load_extensions(*[str(DOCS / name) for name in read_options()["extensions"]])
    package = griffe.load(
        PACKAGE.name, search_paths=[root], extensions=extensions, allow_inspection=False, try_relative_path=False
    )
    assert isinstance(package, griffe.Module)
    return package


def resolve(thing: griffe.Object | griffe.Alias) -> griffe.Object:
    target = thing.final_target if isinstance(thing, griffe.Alias) else thing
    assert isinstance(target, griffe.Object)
    return target


def find(path: str, package: griffe.Module) -> griffe.Object:
    return resolve(package[path.removeprefix(f"{PACKAGE.name}.")])


def list_directives() -> list[tuple[str, Options]]:
    found = [
        match for page in sorted(REFERENCE.glob("*.md")) for match in DIRECTIVE.finditer(page.read_text() + "\n")
    ]
    return [(one["path"], (yaml.safe_load(textwrap.dedent(one["body"])) or {}).get("options", {})) for one in found]


def is_shown(name: str, member: griffe.Object | griffe.Alias, options: Options, parent: griffe.Object) -> bool:
    chosen = options.get("members")
    if isinstance(chosen, list):
        return name in chosen
    if isinstance(member, griffe.Alias) and not member.inherited:
        return chosen is not False and name in (parent.exports or ())
    if chosen is False or member.is_module or any(re.search(one[1:], name) for one in options["filters"]):
        return False
    return "TypeVar(" not in str(getattr(member, "value", ""))


def walk(path: str, thing: griffe.Object, options: Options) -> Iterator[Shown]:
    """What a directive shows: its object, and the members below it."""
    yield Shown(path, thing, tuple((key, str(value)) for key, value in options.items()))
    members = thing.all_members if isinstance(thing, griffe.Class) else thing.members
    if isinstance(thing, griffe.Class | griffe.Module):
        for name, member in members.items():
            if is_shown(name, member, options, thing):
                inner = {key: value for key, value in options.items() if key != "members"}
                yield from walk(f"{path}.{name}", resolve(member), inner)


def list_shown(package: griffe.Module) -> list[Shown]:
    return [
        one
        for path, options in list_directives()
        for one in walk(path, find(path, package), {**read_options(), **options})
    ]


def list_modules(parent: griffe.Module) -> Iterator[griffe.Module]:
    """The public ones."""
    yield parent
    for name, member in parent.members.items():
        if isinstance(member, griffe.Module) and not name.startswith("_"):
            yield from list_modules(member)


def list_public(package: griffe.Module) -> list[str]:
    """What every `__all__` names."""
    return [
        f"{module.path}.{name}"
        for module in list_modules(package)
        for name in map(str, module.exports or ())
        if name not in FOREIGN | BASES
    ]


def is_explained(function: griffe.Function, parameter: str) -> bool:
    """By its name, in the docstring of the function, or for a constructor in that of the class."""
    if function.name == "__init__" and parameter in function.parent.all_members:  # a field of a Struct
        return True
    described = function if function.name != "__init__" else function.parent
    texts = [one.docstring.value for one in (described, function) if one.docstring is not None]
    return any(re.search(rf"`\*{{0,2}}{parameter.lstrip('*')}\b", text) for text in texts)


def list_parameters(function: griffe.Function) -> list[griffe.Parameter]:
    return [one for one in function.parameters if one.name not in {"self", "cls"}]


def find_undescribed(shown: list[Shown]) -> list[str]:
    return [one.path for one in shown if one.source.docstring is None or not one.source.docstring.value.strip()]


def find_untyped(shown: list[Shown]) -> list[str]:
    untyped: list[str] = []
    for one in shown:
        if isinstance(one.source, griffe.Attribute) and one.source.annotation is None:
            untyped.append(one.path)
        for function in one.list_signatures():
            untyped += [f"{one.path}({it.name})" for it in list_parameters(function) if it.annotation is None]
            untyped += [f"{one.path} ->"] if function.returns is None and function.name != "__init__" else []
    return untyped


def find_unexplained(shown: list[Shown]) -> list[str]:
    """Parameters; those of overloads are those of the function itself."""
    return [
        f"{one.path}({it.name})"
        for one in shown
        for function in list(one.list_signatures())[-1:]
        for it in list_parameters(function)
        if not is_explained(function, it.name)
    ]


def list_used(one: Shown) -> Iterator[str]:
    """The names in its types."""
    parts = [it.annotation for function in one.list_signatures() for it in list_parameters(function)]
    parts += [function.returns for function in one.list_signatures()]
    if isinstance(one.source, griffe.Attribute):
        parts += [one.source.annotation, one.source.value if str(one.source.annotation) == "TypeAlias" else None]
    for part in parts:
        if isinstance(part, griffe.Expr):
            yield from (it.canonical_path for it in part.iterate(flat=True) if isinstance(it, griffe.ExprName))


def find_unknown_types(shown: list[Shown], package: griffe.Module) -> list[str]:
    """Types of the package that a signature names, and that no page shows."""
    known = {one.source.canonical_path for one in shown}
    unknown: set[str] = set()
    for one in shown:
        for path in list_used(one):
            if path.startswith(f"{PACKAGE.name}.") and not re.search(r"\.[A-Z][a-z]?$", path):
                target = find(path, package).canonical_path
                unknown |= {f"{target} in {one.path}"} - {f"{it} in {one.path}" for it in known}
    return sorted(unknown)


def find_source(function: griffe.Function) -> ast.AST | None:
    """The code of a function; `None` for one that is made up, such as the constructor of a Struct."""
    nodes = ast.walk(parse(Path(str(function.filepath)))) if function.lineno else []
    return next((it for it in nodes if getattr(it, "end_lineno", 0) == function.endlineno and is_def(it)), None)


def is_def(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def list_raised(node: ast.AST) -> Iterator[str]:
    """The errors that it raises by itself."""
    for inner in ast.walk(node):
        if (
            isinstance(inner, ast.Raise)
            and isinstance(inner.exc, ast.Call)
            and isinstance(inner.exc.func, ast.Name)
        ):
            name = "InvalidRequestError" if inner.exc.func.id == "refuse" else inner.exc.func.id
            if name.endswith("Error"):
                yield name


def find_unnamed_errors(shown: list[Shown]) -> list[str]:
    unnamed: list[str] = []
    for one in shown:
        for function in one.list_signatures():
            texts = [it.docstring.value for it in (function, function.parent) if it.docstring is not None]
            raised = list_raised(find_source(function) or ast.Pass())
            unnamed += [f"{one.path}: {name}" for name in raised if not any(name in text for text in texts)]
    return unnamed


def find_missing(shown: list[Shown], package: griffe.Module) -> list[str]:
    known = {one.source.canonical_path for one in shown}
    return [path for path in list_public(package) if find(path, package).canonical_path not in known]


def test_every_public_name_is_in_the_reference() -> None:
    """What `__all__` of any public module names stands on a page of the reference."""
    assert find_missing(list_shown(load_package()), load_package()) == []


def test_everything_in_the_reference_is_described() -> None:
    """Each class, method, field and alias has a docstring; mkdocstrings leaves out what has none."""
    assert find_undescribed(list_shown(load_package())) == []


def test_everything_in_the_reference_is_typed() -> None:
    """Each parameter, result and field has a type, and the options show it."""
    assert find_untyped(list_shown(load_package())) == []
    assert read_options()["show_signature_annotations"] is read_options()["separate_signature"] is True


def test_every_parameter_is_explained() -> None:
    """By its name, in the docstring of its function or class."""
    assert find_unexplained(list_shown(load_package())) == []


def test_every_error_is_named() -> None:
    """Those that a function raises by itself stand in its docstring, or in that of its class."""
    assert find_unnamed_errors(list_shown(load_package())) == []


def test_every_type_in_a_signature_is_in_the_reference() -> None:
    """A reader can look up what a signature names."""
    assert find_unknown_types(list_shown(load_package()), load_package()) == []


BROKEN = '''
"""Doc."""

from msgspec import Struct


class Fine(Struct, frozen=True):
    """A Struct."""

    described: int
    """A field."""
    bare: int = 0

    def read(self, name, most: int = 1):
        """Read it: `most` at a time."""
        if name:
            raise ValueError("x")
        raise KeyError(name)
'''


def test_what_is_left_out_is_named() -> None:
    """A field without a docstring, a parameter without a type or an explanation, and an error, each by its name."""
    extensions = griffe.load_extensions(*[str(DOCS / name) for name in read_options()["extensions"]])
    with griffe.temporary_visited_package("broken", {"__init__.py": BROKEN}, extensions=extensions) as package:
        shown = list(walk("broken.Fine", resolve(package["Fine"]), read_options()))
        assert find_undescribed(shown) == ["broken.Fine.bare"]
        assert find_untyped(shown) == ["broken.Fine.read(name)", "broken.Fine.read ->"]
        assert find_unexplained(shown) == ["broken.Fine.read(name)"]
        assert sorted(find_unnamed_errors(shown)) == ["broken.Fine.read: KeyError", "broken.Fine.read: ValueError"]
        constructor = next(shown[0].list_signatures())
        assert [(one.name, str(one.annotation), one.default) for one in list_parameters(constructor)] == [
            ("described", "int", None),
            ("bare", "int", "0"),
        ]


def test_notes_for_maintainers_are_left_out() -> None:
    """Sources are not shown, a guess is called one, and what is for this library only is gone."""
    package = load_package()
    assert "[doc" not in find("leadconnector_async.LeadConnector.get_appointment", package).docstring.value
    assert (
        "(unconfirmed)" in find("leadconnector_async._calendar.OpenHours.days_of_the_week", package).docstring.value
    )
    assert "membership" not in find("leadconnector_async.Shared", package).all_members


def test_types_of_operations_can_be_read_at_run_time() -> None:
    """As a framework does that offers them to its users; what is imported late must not hide them."""
    operations = [one for name, one in inspect.getmembers(LeadConnector, inspect.isroutine) if name[0] != "_"]
    assert len(operations) > 25
    for one in operations:
        assert typing.get_type_hints(one), one
