"""The typed declarations that each row of `_api/fields.py` needs, so that type checkers and IDEs know the field.

python -m tests.declare_fields           adds what is missing
python -m tests.declare_fields --check   only names it, and what has no row
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from leadconnector_async._api.fields import BY_NAME, FIELDS, PLANNED, Field
from leadconnector_async._api.payloads import WireUpdate
from leadconnector_async.jobs import Precondition
from leadconnector_async.models import Appointment, AppointmentFields, AppointmentUpdate
from leadconnector_async.reschedule import Changes

TYPES = {"time": "datetime", "instruction": "bool"}
"""Of each kind; all others are `str`."""


class Declaration(Struct, frozen=True):
    """Which fields a class declares, and how."""

    declarer: type
    names: tuple[str, ...]
    """Declared now, inherited ones included."""
    has: Callable[[Field], bool]
    """Whether it must have a field."""
    form: str
    only_rows: bool = True
    """It has no other fields."""

    def list_missing(self) -> list[Field]:
        """Rows that it does not declare."""
        return [row for row in FIELDS if self.has(row) and row.name not in self.names]

    def list_strays(self) -> list[str]:
        """What it declares without a row."""
        known = {row.name for row in FIELDS if self.has(row)}
        return [name for name in self.names if self.only_rows and name not in known]


def name_fields(struct: type[Struct]) -> tuple[str, ...]:
    return struct.__struct_fields__


SENT, SHOWN = "{name}: {type} | None | UnsetType = UNSET", "{name}: {type} | None = None"
DECLARATIONS = (
    Declaration(AppointmentFields, name_fields(AppointmentUpdate), lambda row: True, SENT),
    Declaration(Appointment, name_fields(Appointment), lambda row: row.shown != "never", SHOWN, only_rows=False),
    Declaration(Precondition, name_fields(Precondition), lambda row: row.name in PLANNED, SHOWN),
    Declaration(
        Changes,
        tuple(Changes.__annotations__),
        lambda row: row.in_changes,
        "{name}: {type}",
    ),
)


def list_faults() -> Iterator[str]:
    """What is missing, or has no row, by name."""
    for one in DECLARATIONS:
        name = one.declarer.__name__
        yield from (f"{name} does not declare {row.name}" for row in one.list_missing())
        yield from (f"{name}.{stray} has no row in _api/fields.py" for stray in one.list_strays())
    yield from (f"WireUpdate.{name} has no row" for name in name_fields(WireUpdate) if name not in BY_NAME)


def declare() -> None:
    """Add the missing declarations at the end of their classes."""
    for one in DECLARATIONS:
        path = Path(inspect.getsourcefile(one.declarer) or "")
        lines = path.read_text().splitlines()
        classes = [node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.ClassDef)]
        end = next(node.end_lineno for node in classes if node.name == one.declarer.__name__)
        added = [one.form.format(name=row.name, type=TYPES.get(row.kind, "str")) for row in one.list_missing()]
        lines[end:end] = [f"    {line}" for line in added]
        path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if "--check" not in sys.argv:
        declare()
    elif faults := list(list_faults()):
        sys.exit("\n".join(faults))
