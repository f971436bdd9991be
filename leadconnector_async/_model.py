"""The base class of Structs that pydantic and FastAPI understand, wherever those are installed."""

from __future__ import annotations

from msgspec import Struct


class Model(Struct, frozen=True):
    """A Struct that can be a field of a pydantic model, or the body of a request or a response in FastAPI."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
        """Called by pydantic only, which is not imported before."""
        from .integrations.pydantic import build_core_schema  # noqa: PLC0415 - see above

        return build_core_schema(cls, handler)
