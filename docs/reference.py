"""What the reference shows of the docstrings: an extension of griffe for mkdocstrings, named in `zensical.toml`.

A Struct gets the signature of its constructor, and a public name in a docstring becomes a link. What is noted for
maintainers is left out: the sources `[doc]` and `[field]`, and members that are "For this library". A `[guess]`
becomes "unconfirmed".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeGuard, cast

import griffe

_MARK: Final = re.compile(r"\s*\[(?:doc|field)(?:: [^\]]*)?\]")
_GUESS: Final = re.compile(r"\[guess(: [^\]]*)?\]")
_NAME: Final = re.compile(r"(?<![`\[])`([A-Z][A-Za-z]+)`(?![`\]])")
_INTERNAL: Final = "For this library"
_STRUCTS: Final = ("msgspec.Struct", "leadconnector_async._model.Model")
_LONGEST: Final = 40
_PLAIN: Final = {"class-attribute", "instance-attribute", "module-attribute"}
"""Labels that say nothing to a caller, and would be part of the titles that are searched."""


class Reference(griffe.Extension):
    """Changes the package once it is loaded as a whole."""

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        """Called by griffe."""
        links = {name: f"{pkg.path}.{name}" for name in _list_public(pkg)}
        for one in list(_walk(pkg)):
            if one.docstring is not None and _INTERNAL in one.docstring.value and one.parent is not None:
                one.parent.del_member(one.name)
            else:
                _describe(one, links)
                _show_values(one, pkg)
        for one in _walk(pkg):
            if isinstance(one, griffe.Class) and _is_struct(one):
                _add_constructor(one)
        for one in _walk(pkg):
            one.labels -= _PLAIN


def _describe(one: griffe.Object, links: dict[str, str]) -> None:
    if one.docstring is not None:
        own = {one.name, one.parent.name if one.parent is not None else ""}
        one.docstring.value = clean(one.docstring.value, {name: links[name] for name in links.keys() - own})


def _show_values(one: griffe.Object, package: griffe.Module) -> None:
    if isinstance(one, griffe.Attribute):
        one.annotation = _drop_metadata(one.annotation)
        if "class-attribute" not in one.labels and "module-attribute" not in one.labels:
            one.value = None  # what a constructor assigns is not a default
    if isinstance(one, griffe.Function):
        for parameter in one.parameters:
            parameter.default = _find_value(parameter.default, package)


def clean(text: str, links: dict[str, str]) -> str:
    """A docstring without its sources, and with `links` from names to paths."""
    text = _GUESS.sub(lambda found: f"(unconfirmed{found[1] or ''})", _MARK.sub("", text))

    def link(found: re.Match[str]) -> str:
        path = links.get(found[1])
        return found[0] if path is None else f"[`{found[1]}`][{path}]"

    return _NAME.sub(link, text).strip()


def _list_public(package: griffe.Module) -> list[str]:
    return [name for name in map(str, package.exports or ()) if name[0].isupper() and not name.isupper()]


def _walk(parent: griffe.Object) -> Iterator[griffe.Object]:
    yield parent
    for member in list(parent.members.values()):
        if not member.is_alias:
            yield from _walk(cast("griffe.Object", member))


def _drop_metadata(annotation: str | griffe.Expr | None) -> str | griffe.Expr | None:
    """The type in `Annotated`: what msgspec or a table of ours reads from it is nothing to a caller."""
    if not isinstance(annotation, griffe.ExprSubscript) or annotation.canonical_path != "typing.Annotated":
        return annotation
    parts = annotation.slice
    return parts.elements[0] if isinstance(parts, griffe.ExprTuple) else annotation


def _find_value(default: str | griffe.Expr | None, package: griffe.Module) -> str | griffe.Expr | None:
    """Of a constant, what it is, unless that is long: `VERSION` says nothing to a caller."""
    if not isinstance(default, griffe.ExprName) or not default.canonical_path.startswith(f"{package.path}."):
        return default
    try:
        constant = package[default.canonical_path.removeprefix(f"{package.path}.")]
    except KeyError:
        return default
    value = getattr(constant, "value", None)
    return value if value is not None and len(str(value)) <= _LONGEST else default


def _is_struct(kind: griffe.Class) -> bool:
    return any(
        isinstance(base, griffe.Expr) and base.canonical_path in _STRUCTS
        for one in (kind, *_list_bases(kind))
        for base in one.bases
    )


def _list_bases(kind: griffe.Class) -> list[griffe.Class]:
    try:
        return kind.mro()
    except ValueError:  # a base of another package
        return []


def _is_field(member: griffe.Object | griffe.Alias) -> TypeGuard[griffe.Attribute]:
    return (
        isinstance(member, griffe.Attribute)
        and member.annotation is not None
        and "property" not in member.labels
        and ("instance-attribute" in member.labels or "class-attribute" not in member.labels)
    )


def _add_constructor(kind: griffe.Class) -> None:
    fields: dict[str, griffe.Parameter] = {}
    for one in (*reversed(_list_bases(kind)), kind):
        is_named = str(one.keywords.get("kw_only")) == "True"
        for field in filter(_is_field, one.members.values()):
            form = griffe.ParameterKind.keyword_only if is_named else griffe.ParameterKind.positional_or_keyword
            fields[field.name] = griffe.Parameter(
                field.name, annotation=field.annotation, kind=form, default=_find_default(field)
            )
    ordered = sorted(fields.values(), key=lambda one: one.kind is griffe.ParameterKind.keyword_only)
    own = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    constructor = griffe.Function(
        "__init__", parent=kind, parameters=griffe.Parameters(own, *ordered), returns="None"
    )
    kind.set_member("__init__", constructor)


def _find_default(field: griffe.Attribute) -> str | griffe.Expr | None:
    """Of `msgspec.field`, what it says."""
    value = field.value
    if not isinstance(value, griffe.ExprCall) or not value.canonical_path.endswith("field"):
        return value
    given = {one.name: one.value for one in value.arguments if isinstance(one, griffe.ExprKeyword)}
    if "default_factory" in given:
        return griffe.ExprCall(function=cast("griffe.Expr", given["default_factory"]), arguments=[])
    return given.get("default")
