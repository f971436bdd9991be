"""What programs can pass as a payload: a Struct of `models`, a mapping, or a pydantic model of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias, TypeVar

from msgspec import Struct

S = TypeVar("S", bound=Struct)


class ModelLike(Protocol):
    """A pydantic model, version 2. Pydantic itself is not needed."""

    @property
    def model_fields_set(self) -> set[str]:
        """The fields that were set."""
        ...

    def model_dump(
        self, *, by_alias: bool | None = None, exclude_unset: bool = False, warnings: bool = True
    ) -> Mapping[str, object]:
        """Its fields as a dict.

        `by_alias`, `exclude_unset` and `warnings` are as pydantic has them.
        """
        ...


Payload: TypeAlias = S | Mapping[str, object] | ModelLike
"""`Payload[AppointmentUpdate]` is an `AppointmentUpdate`, or its fields as a mapping or as a pydantic model.

Names are in snake or camel case, and values as the Struct takes them. A name that is not a field of the Struct, and
a field that is given in both cases, raise `InvalidRequestError`.

In a mapping, `None` is a value, as it is in the Struct: leave a field out to keep it. Of a model, only the fields
that were set are read, as by `model_dump(exclude_unset=True)`; a field is known by its name or by its alias.
"""
