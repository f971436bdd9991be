"""Row states: one table, from which everything else follows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import leadconnector_async
from leadconnector_async.jobs import JobSummary, RowState
from leadconnector_async.jobs.states import (
    NOT_APPLIED,
    NOT_CHANGED,
    OPEN,
    ROW_STATES,
    TO_RETRY,
    RowResult,
    list_states,
)

PACKAGE = Path(leadconnector_async.__file__).parent
OLD = ("in_place",)
"""States of format 1; its `ready` is a phase of whole jobs now."""
HOME = PACKAGE / "jobs" / "states.py"
MIGRATION = PACKAGE / "jobs" / "journal" / "migrate.py"


def list_groups(source: str) -> Iterator[list[str]]:
    """The texts of each literal collection, the two sides of each `or`, and the texts that a query lists."""
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            parts = [*node.elts]
        elif isinstance(node, ast.Dict):
            parts = [*node.keys]
        elif isinstance(node, ast.BoolOp | ast.Compare | ast.BinOp):
            parts = [one for one in ast.walk(node) if isinstance(one, ast.Constant)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (re.findall(r"'(\w+)'", listed) for listed in re.findall(r"\bIN\s*\(([^()]*)\)", node.value))
        yield [one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def find_strays(source: str) -> list[list[str]]:
    """Lists of states, and names of states that are no longer in use."""
    states = set(get_args(RowState))
    lists = [group for group in list_groups(source) if len(states & set(group)) > 2]
    texts = [one.value for one in ast.walk(ast.parse(source)) if isinstance(one, ast.Constant)]
    return lists + [[text] for text in texts if text in OLD]


def test_the_table_has_every_state() -> None:
    """A state without its row fails here, by its name."""
    assert list(ROW_STATES) == list(get_args(RowState))
    assert {kind.result for kind in ROW_STATES.values()} == set(get_args(RowResult))
    assert sorted(state for result in get_args(RowResult) for state in list_states(result)) == sorted(ROW_STATES)


def test_what_follows_from_the_table() -> None:
    """What a resumed job continues with, what counts as an error, and what is tried again."""
    assert OPEN == ("pending", "sent", "loaded")
    assert NOT_CHANGED == ("failed", "skipped", "refused")
    assert NOT_APPLIED == ("failed", "skipped", "refused", "unknown")
    assert TO_RETRY == ("failed", "skipped")
    assert JobSummary(counts={"pending": 2, "sent": 3, "loaded": 4, "applied": 5}).remaining == 9


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_list_of_states_stands_elsewhere(path: Path) -> None:
    """Neither in code nor in queries; and the names of format 1 are known to the migration only."""
    if path not in (HOME, MIGRATION):
        assert find_strays(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        '_BLOCKING = frozenset({"failed", "skipped", "refused", "unknown"})',
        'errors = sum(counts[state] for state in ("failed", "unknown", "skipped"))',
        '_WORDS = {"applied": "done", "failed": "no", "unknown": "?"}',
        'bad = counts["failed"] + counts["skipped"] + counts["refused"]',
        'if row.state != "in_place": pass',
        """_QUERY = "SELECT number FROM rows WHERE state IN ('failed', 'skipped', 'refused')" """,
    ],
)
def test_a_stray_would_be_found(source: str) -> None:
    """Each form in which lists of states have stood in the code."""
    assert find_strays(source)
