"""Structs as types of pydantic, so that FastAPI can read, write and describe them.

Names and values are those of the JSON that the Structs have everywhere: camel case, times with their offset. A
field of an update that is left out is not in the JSON, and one that is `None` is `null`; the schema says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from types import UnionType
from typing import TYPE_CHECKING, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, UNSET, Struct, UnsetType, structs
from pydantic_core import PydanticCustomError, core_schema

from .._api.convert import to_payload
from ..models import AppointmentFields, BlockSlotFields

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

S = TypeVar("S", bound=Struct)

_PAYLOADS: Final = (AppointmentFields, BlockSlotFields)
"""What is sent: a name that is not one of its fields is refused, because nothing would be done about it."""


def build_core_schema(struct: type[S], handler: object) -> core_schema.CoreSchema:
    """How pydantic reads and writes a Struct."""
    generate = cast("GetCoreSchemaHandler", handler).generate_schema
    described = _build_fields(struct, partial(_generate, generate, described=True))
    written = _build_fields(struct, partial(_generate, generate, described=False))
    return core_schema.no_info_plain_validator_function(
        partial(_read_payload if issubclass(struct, _PAYLOADS) else _read, struct),
        json_schema_input_schema=described,
        ref=f"{struct.__module__}.{struct.__qualname__}:{id(struct)}",
        serialization=core_schema.plain_serializer_function_ser_schema(_list_fields, return_schema=written),
        metadata={"pydantic_js_functions": [_describe]},
    )


def _describe(schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """The JSON schema: the same whether the Struct is read or written."""
    return handler(cast("dict[str, core_schema.CoreSchema]", schema)["json_schema_input_schema"])


def _build_fields(
    struct: type[Struct], generate: Callable[[object], core_schema.CoreSchema]
) -> core_schema.TypedDictSchema:
    hints = get_type_hints(struct, include_extras=True)
    fields = {
        one.encode_name: core_schema.typed_dict_field(generate(hints[one.name]), required=_is_required(one))
        for one in structs.fields(struct)
    }
    extra: core_schema.ExtraBehavior | None = "forbid" if issubclass(struct, _PAYLOADS) else None
    return core_schema.typed_dict_schema(fields, cls=struct, extra_behavior=extra)


def _is_required(field: structs.FieldInfo) -> bool:
    return field.default is NODEFAULT and field.default_factory is NODEFAULT


def _generate(
    generate: Callable[[object], core_schema.CoreSchema], hint: object, *, described: bool
) -> core_schema.CoreSchema:
    """The schema of a field: one that may be unset may be left out, and a time is not any text."""
    if get_origin(hint) not in (Union, UnionType):
        return generate(hint)
    kinds = [one for one in get_args(hint) if one is not UnsetType]
    if described and datetime in kinds:
        kinds = [one for one in kinds if one is not str]
    return generate(Union[tuple(kinds)])  # noqa: UP007 - of a list


def _list_fields(value: Struct) -> dict[str, object]:
    """What is set, by its name in JSON."""
    values = ((one.encode_name, getattr(value, one.name)) for one in structs.fields(value))
    return {name: each for name, each in values if each is not UNSET}


def _read_payload(struct: type[S], given: object) -> S:
    """Raises `InvalidRequestError`, which is a `ValueError`. Values are checked by the call that sends them."""
    return to_payload(given, struct)


def _read(struct: type[S], given: object) -> S:
    if isinstance(given, struct):
        return given
    try:
        return msgspec.convert(given, struct, from_attributes=not isinstance(given, Mapping))
    except msgspec.ValidationError as error:
        raise PydanticCustomError("struct", "{reason}", {"reason": str(error)}) from None
