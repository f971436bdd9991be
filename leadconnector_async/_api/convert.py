"""Convert what programs pass as a payload to a Struct of `models`: a mapping, or a pydantic model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Final, TypeGuard, TypeVar, cast

from msgspec import NODEFAULT, UNSET, Struct, structs

from .._secret import Held
from .._validation.arguments import refuse
from .._validation.settings import to_text
from .._validation.text import escape, shorten, show, show_error
from ..exceptions import InvalidRequestError
from ..inputs import ModelLike

S = TypeVar("S", bound=Struct)

Item = tuple[object, object]
"""A name, and what is given by it."""
_MODEL_NAMES: Final = ("model_dump", "model_fields_set")


def to_payload(given: object, kind: type[S]) -> S:
    """Convert a mapping or a model; a Struct of this kind is returned as it is. Raises `InvalidRequestError`."""
    if isinstance(given, kind):
        return given
    if not is_convertible(given):
        hint = f"pass {kind.__name__}(…), a mapping or a pydantic model"
        raise refuse("payload", given, f"it is not an instance of {kind.__name__}", hint)
    values = name_fields(list_items(given, list_spellings(kind)), kind)
    if missing := [name for name in _list_required(kind) if name not in values]:
        raise _refuse(missing[0], f"{kind.__name__} needs it", f"add {' and '.join(missing)}")
    return kind(**values)


def is_convertible(given: object) -> TypeGuard[Mapping[object, object] | ModelLike]:
    """Whether it is a mapping or a model."""
    return isinstance(given, Mapping) or is_model(given)


def is_model(given: object) -> TypeGuard[ModelLike]:
    """Whether it is an instance of a pydantic model: these names are theirs alone, so nothing is imported."""
    return not isinstance(given, type) and all(hasattr(type(given), name) for name in _MODEL_NAMES)


def list_items(given: Mapping[object, object] | ModelLike, known: Collection[str]) -> list[Item]:
    """The names and values of a mapping, or of the fields of a model that were set.

    The alias of a model's field is its name where it is one of those `known`. Raises `InvalidRequestError`,
    whatever the mapping or the model raises.
    """
    try:
        if isinstance(given, Mapping):
            return list(given.items())
        # Without warnings: they show values, and the check that follows finds what is wrong with them.
        values = given.model_dump(by_alias=False, exclude_unset=True, warnings=False)
        return [(_choose_name(given, name, known), value) for name, value in values.items()]
    except InvalidRequestError:
        raise
    except Exception as error:  # a foreign mapping, or a serializer of the user's
        reason = f"{type(given).__name__} cannot be read: {show_error(error)}"
    raise _refuse("payload", reason, "pass its fields as a dict")


def _choose_name(model: ModelLike, name: str, known: Collection[str]) -> str:
    fields = cast("Mapping[str, object]", getattr(type(model), "model_fields", {}))
    alias = getattr(fields.get(name), "serialization_alias", None)
    if not isinstance(alias, str) or alias not in known:
        return name
    if name in known and name.replace("_", "").lower() != alias.replace("_", "").lower():
        raise _refuse(name, f"the field of {type(model).__name__} has the alias {alias}", "rename one of them")
    return alias


@cache
def list_spellings(kind: type[Struct]) -> dict[str, str]:
    """The fields of a Struct by their names, in either case."""
    return {spelling: one.name for one in structs.fields(kind) for spelling in (one.name, one.encode_name)}


@cache
def _list_required(kind: type[Struct]) -> tuple[str, ...]:
    return tuple(
        one.name for one in structs.fields(kind) if one.default is NODEFAULT and one.default_factory is NODEFAULT
    )


def name_fields(items: Iterable[Item], kind: type[Struct]) -> dict[str, object]:
    """Values by the fields of a Struct; what is `UNSET` is left out. Raises `InvalidRequestError`."""
    known = list_spellings(kind)
    named: dict[str, object] = {}
    spellings: dict[str, str] = {}
    for key, value in items:
        if value is UNSET:
            continue
        spelling = to_text(key)
        name = None if spelling is None else known.get(spelling)
        if spelling is None or name is None:
            seen = show(key) if spelling is None else escape(shorten(spelling))
            hint = suggest(seen, known.values()) or f"use a field of {kind.__name__}"
            raise _refuse(seen, f"{kind.__name__} has no such field", hint)
        if name in named:
            raise _refuse(name, describe_repeated(spellings[name], spelling), KEEP_ONE)
        named[name], spellings[name] = value, spelling
    return named


KEEP_ONE: Final = "keep one of them"


def describe_repeated(first: object, second: object) -> str:
    """What is wrong with two names of one field."""
    return f"{first} and {second} are the same field" if first != second else f"{first} is given twice"


def suggest(seen: str, known: Iterable[str]) -> str:
    """A hint that names the field which is nearest to an unknown name; empty if none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - only mistakes need it

    by_letters = {name.replace("_", ""): name for name in known}
    letters = "".join(one for one in seen if one.isalnum()).lower()
    near = get_close_matches(letters, by_letters, 1, 0.75)
    if near:
        return f"use {by_letters[near[0]]}"
    parts = [name for name in by_letters.values() if letters and letters in name.split("_")]
    return f"use {min(parts, key=len)}" if parts else ""


def _refuse(field: str, reason: str, hint: str) -> InvalidRequestError:
    """An error about a name: what is given by it may be anything, and is not shown."""
    return refuse(field, Held(None), reason, hint)
