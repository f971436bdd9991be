"""One row for each field of an appointment: what derives from it, and that no list forgets one."""

import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

import leadconnector_async
from leadconnector_async import Appointment, AppointmentUpdate
from leadconnector_async._api.fields import BY_NAME, FIELDS, Field
from leadconnector_async._api.readback import compare_update
from leadconnector_async._api.validate import check_update
from leadconnector_async.sandbox import updates
from leadconnector_async.sandbox.models import In, find_fields

from ..declare_fields import list_faults

PACKAGE = Path(leadconnector_async.__file__).parent
ROOT = Path(__file__).parent.parent.parent
LAST_TEXT = '    Field("description", "text", multiline=True, personal=True),\n'
ROW = '    Field("parking_hint", "text", personal=True),\n'
SANDBOX_LAST_TEXT = '    description: Annotated[str, Wire("description", In.WRITES | In.EVENT)] = ""\n'
SANDBOX_ROW = '    parking_hint: Annotated[str, Wire("parkingHint", In.ALL)] = ""\n'
VALUES = {
    "text": "x",
    "id": "x",
    "time": "2027-03-17T09:00:00+00:00",
    "rule": "RRULE:FREQ=DAILY;COUNT=5",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package, to be changed."""
    root = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, root, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def insert(path: Path, after: str, text: str) -> None:
    content = path.read_text()
    assert content.count(after) == 1, path
    path.write_text(content.replace(after, after + text))


def run_on(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(copy.parent), str(ROOT)])}
    return subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", *arguments], env=env, cwd=copy.parent, capture_output=True, text=True, check=False
    )


def test_every_field_has_a_row_and_every_row_is_declared() -> None:
    """In what is sent, shown, changed safely, and expected by a plan."""
    assert list(list_faults()) == []


def test_one_row_adds_a_field(copy: Path) -> None:
    """Payload, comparison, safe change, plan column, precondition, undo and report follow from the row."""
    insert(copy / "_api/fields.py", LAST_TEXT, ROW)
    declared = run_on(copy, "tests.declare_fields")
    assert declared.returncode == 0, declared.stderr
    insert(copy / "sandbox/models.py", SANDBOX_LAST_TEXT, SANDBOX_ROW)
    assert "    parking_hint: str | None | UnsetType = UNSET\n" in (copy / "models.py").read_text()
    done = run_on(copy, "tests.api.added_field", str(copy.parent))
    assert done.returncode == 0, done.stderr


def test_a_row_without_declarations_fails_by_name(copy: Path) -> None:
    """Each class that must declare it is named."""
    insert(copy / "_api/fields.py", LAST_TEXT, ROW)
    assert run_on(copy, "tests.declare_fields", "--check").stderr.splitlines() == [
        f"{name} does not declare parking_hint"
        for name in ("AppointmentFields", "Appointment", "Precondition", "Changes")
    ]


@pytest.mark.parametrize("name", ["start_time", "appointment_status", "title", "meeting_location_id", "to_notify"])
def test_a_missing_row_fails_by_name(copy: Path, name: str) -> None:
    """A field that is declared and has no row is named."""
    path = copy / "_api/fields.py"
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f'    Field("{name}"')]
    assert len(kept) == len(lines) - 1
    path.write_text("".join(kept))
    assert f"AppointmentFields.{name} has no row" in run_on(copy, "tests.declare_fields", "--check").stderr


def test_the_wire_name_is_the_name_in_camel_case() -> None:
    """Of every field that is sent."""
    for field in msgspec.structs.fields(AppointmentUpdate):
        head, *words = field.name.split("_")
        assert field.encode_name == head + "".join(map(str.title, words))


def test_the_sandbox_takes_every_field() -> None:
    """By its name on the wire, and no other."""
    sent = {field.encode_name for field in msgspec.structs.fields(AppointmentUpdate)}
    assert {*find_fields(In.UPDATE), *updates._FLAGS} == sent


@pytest.mark.parametrize("row", [row for row in FIELDS if row.kind != "instruction"], ids=lambda row: row.name)
def test_a_field_that_cannot_be_compared_proves_nothing(row: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither without its row nor where no reading shows it, though everything else is shown as it was sent."""
    value = row.choices[0] if row.choices else VALUES.get(row.kind, "x")
    other = "title" if row.name != "title" else "address"
    sent = {other: "Intro", row.name: value, "ignore_free_slot_validation": True}
    wire = check_update(AppointmentUpdate(**sent))  # type: ignore[arg-type]
    shown = Appointment(**{other: "Intro", row.name: read_value(row.kind, value)})  # type: ignore[arg-type]
    assert compare_update(wire, shown) is True
    monkeypatch.setitem(BY_NAME, row.name, msgspec.structs.replace(row, shown="never"))
    assert compare_update(wire, shown) is None
    monkeypatch.delitem(BY_NAME, row.name)
    assert compare_update(wire, shown) is None


def read_value(kind: str, value: object) -> object:
    return datetime.fromisoformat(str(value)) if kind == "time" else value
