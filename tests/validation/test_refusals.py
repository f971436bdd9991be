"""An error about a value keeps its parts, and its sentence is put together in one place."""

import ast
import pickle
from pathlib import Path

import pytest

import leadconnector_async
from leadconnector_async import AppointmentUpdate, InvalidRequestError
from leadconnector_async._api.request import encode_id
from leadconnector_async._api.validate import check_update
from leadconnector_async._validation.arguments import refuse
from leadconnector_async.jobs import RowFault
from leadconnector_async.jobs.plan.rows import read_row

PACKAGE = Path(leadconnector_async.__file__).parent
OWN_WORDS = {"sandbox/faults.py", "sandbox/settings.py", "cli/calls.py", "testing.py"}
"""They refuse what was typed on a command line, or given to the sandbox."""


def test_field_value_reason_and_hint_are_fields() -> None:
    """And the message says all four."""
    with pytest.raises(InvalidRequestError) as caught:
        encode_id(" ")
    error = caught.value
    parts = (error.field, error.value, error.reason, error.hint)
    assert parts == ("event_id", " ", "it is not a valid id", "pass the id as the API shows it")
    assert str(error) == "event_id = ' ': it is not a valid id; pass the id as the API shows it. Nothing was sent."


def test_the_reason_survives_pickling() -> None:
    """As between the processes of a task queue."""
    error = refuse("title", "x", "it is too short", "write more")
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)  # noqa: S301 - ours


def test_a_payload_is_not_shown() -> None:
    """It may hold personal data."""
    with pytest.raises(InvalidRequestError, match=r"^payload: it has no fields; set at least one") as caught:
        check_update(AppointmentUpdate())
    assert caught.value.reason == "it has no fields"


def test_a_row_says_each_part_once() -> None:
    """Line and column, value and reason, and what to do."""
    fault = read_row(3, {"event_id": "e", "appointment_status": "gone"})
    assert isinstance(fault, RowFault)
    assert str(fault) == (
        "line 3, appointment_status: 'gone': it is not an accepted value; use one of new, confirmed, cancelled, "
        "showed, noshow, invalid, completed, active"
    )


def list_strippers(source: str) -> list[int]:
    """Lines that cut something off an error's message."""
    cutting = {"removesuffix", "removeprefix", "partition", "rpartition", "replace"}
    calls = [
        node.func
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in cutting
    ]
    return [call.lineno for call in calls if "error" in ast.unparse(call.value)]


def test_a_stripped_message_is_found() -> None:
    """Whichever way it is taken."""
    assert list_strippers("str(error.args[0]).removesuffix('.')") == [1]
    assert list_strippers("str(error).partition(';')[0]") == [1]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_takes_a_message_apart(path: Path) -> None:
    """Nor puts one together but in `refuse`; the sandbox, the test kit and the command line word their own."""
    source = path.read_text()
    assert list_strippers(source) == []
    if str(path.relative_to(PACKAGE)) not in {"_validation/arguments.py", *OWN_WORDS}:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        assert not [call.lineno for call in calls if ast.unparse(call.func) == "InvalidRequestError"]
