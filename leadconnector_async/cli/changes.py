"""What the user means by `--set FIELD=VALUE`.

Rule: a field that cannot be set, or is set twice, is an error; nothing is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..exceptions import ConfigurationError
from ..jobs.rows import BadRow, name_column
from ..models import AppointmentUpdate

_FIELDS: Final = frozenset(AppointmentUpdate.__struct_fields__)


def read_changes(texts: Iterable[str], *, shift: bool = False) -> dict[str, str]:
    """The values by field, in snake case; `shift` is one if it may be. Raises `ConfigurationError`."""
    changes: dict[str, str] = {}
    for text in texts:
        spelling, equals, value = text.partition("=")
        if not equals or not spelling.strip():
            raise ConfigurationError(
                f"--set {text!r}: write it as FIELD=VALUE, such as appointment_status=confirmed"
            )
        name = _name(spelling)
        if name not in _FIELDS and not (shift and name == "shift"):
            raise ConfigurationError(f"--set {spelling}: there is no such field; {_list_fields()}")
        if name in changes:
            raise ConfigurationError(f"--set {name}: it is given twice; keep one")
        changes[name] = value
    return changes


def _name(spelling: str) -> str:
    try:
        return name_column(spelling) or spelling
    except BadRow:
        return spelling


def _list_fields() -> str:
    return f"use one of {', '.join(name for name in AppointmentUpdate.__struct_fields__ if name != 'rrule')}"
