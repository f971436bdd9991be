"""Classes stay small: what one holds and does can be kept in mind."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import leadconnector_async

PACKAGE = Path(leadconnector_async.__file__).parent
MOST_METHODS, MOST_ATTRIBUTES = 15, 10
FACADES = {"LeadConnector", "CalendarMethods", "BulkJob", "JobHandle", "JobService", "Sandbox"}
"""Their many short methods are the public interface."""
RECORDS = {"Struct", "Model", "Progress", "TypedDict", "NamedTuple", "Protocol"}
"""Bases of plain data: its fields are declared, each is described, and it has as many as it needs."""


class Size(NamedTuple):
    name: str
    methods: int
    attributes: int

    @property
    def is_large(self) -> bool:
        return self.methods > MOST_METHODS or self.attributes > MOST_ATTRIBUTES


def list_targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []


def list_declared(node: ast.ClassDef) -> set[str]:
    """The slots and the annotated names of a class."""
    slots = (
        one.value for one in node.body if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "__slots__"
    )
    return {
        *(part.value for one in slots for part in ast.walk(one) if isinstance(part, ast.Constant)),  # type: ignore[misc]
        *(
            one.target.id
            for one in node.body
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        ),
    }


def measure(source: str, file: str) -> Iterator[Size]:
    """The classes of a module: their methods, and the attributes that they declare or that these set on `self`."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef):
            continue
        methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
        attributes = {
            part.attr
            for method in methods
            for inner in ast.walk(method)
            for target in list_targets(inner)
            for part in ast.walk(target)
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "self"
        }
        if not {part.id for base in node.bases for part in ast.walk(base) if isinstance(part, ast.Name)} & RECORDS:
            attributes |= list_declared(node)
        yield Size(f"{file} {node.name}", len(methods), len(attributes))


def list_large() -> dict[str, Size]:
    sizes = [
        size
        for path in sorted(PACKAGE.rglob("*.py"))
        for size in measure(path.read_text(), path.relative_to(PACKAGE).as_posix())
    ]
    assert len(sizes) > 200
    return {size.name: size for size in sizes if size.is_large and size.name.split()[1] not in FACADES}


def test_no_class_has_over_15_methods_or_10_attributes() -> None:
    """Facades excepted; fields of plain data do not count."""
    assert list_large() == {}


@pytest.mark.parametrize(
    ("body", "large"),
    [
        ("".join(f"    def m{number}(self): ...\n" for number in range(15)), False),
        ("".join(f"    async def m{number}(self): ...\n" for number in range(16)), True),
        ("    def m(self):\n" + "".join(f"        self.x{number} = 0\n" for number in range(10)), False),
        ("    def m(self):\n" + "".join(f"        self.x{number}: int = 0\n" for number in range(11)), True),
        ("    __slots__ = (" + "".join(f"'x{number}', " for number in range(11)) + ")\n", True),
        ("".join(f"    x{number}: int\n" for number in range(11)), True),
        ("    def m(self):\n        self.a, (self.b, self.c) = self.d = x\n" + "        self.a += 1\n" * 20, False),
    ],
)
def test_methods_and_attributes_are_counted(body: str, *, large: bool) -> None:
    """Asynchronous methods, annotated attributes and those set in tuples as well; each attribute once."""
    (size,) = measure(f"class Example:\n{body}", "example.py")
    assert size.is_large == large
